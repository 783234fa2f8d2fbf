run lambda { |env|
  sleep 2 if env["PATH_INFO"] == "/slow"
  [200, { "Content-Length" => "3" }, ["ok\n"]]
}
