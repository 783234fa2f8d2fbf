// Server is a web server as people write it: it does nothing about signals, and dies of SIGTERM at once. /?500ms takes that long to answer, and is said to be answered.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if d, _ := time.ParseDuration(r.URL.RawQuery); d > 0 {
			fmt.Printf("answering in %v\n", d)
			time.Sleep(d)
		}
		fmt.Fprintln(w, "ok")
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], nil))
	os.Exit(1)
}
