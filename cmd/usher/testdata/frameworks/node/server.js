require("http").createServer((request, response) => {
  setTimeout(() => response.end("ok\n"), request.url.startsWith("/slow") ? 2000 : 0);
}).listen(3000);
