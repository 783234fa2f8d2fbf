# A server on port $ARGV[0] that closes every connection, and ends with 42 on SIGTERM.
use IO::Socket::INET;
$|=1;
$SIG{TERM}=sub{exit 42};
$s=IO::Socket::INET->new(LocalAddr=>"127.0.0.1",LocalPort=>$ARGV[0],Listen=>9,ReuseAddr=>1) or die;
print "ready\n";
while(1){$c=$s->accept and close $c}
