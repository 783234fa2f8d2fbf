mkdir queue
chmod 777 queue
/usr/bin/python3 -c 'import app
for _ in range(40): app.work.delay()'
