package dockerfiles

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// startNginx starts the image as it is, but for the interval of its HEALTHCHECK, and waits until that says healthy.
func startNginx(t *testing.T, flags []string, command ...string) *container {
	t.Helper()
	c := start(t, spec{nginxImage, append([]string{"--health-interval=300ms"}, flags...), command})
	c.wantHealth("healthy")
	return c
}

// TestNginx: from the first byte to docker stop with what the Dockerfile says.
func TestNginx(t *testing.T) {
	t.Parallel()
	log, mount := terminationLog(t)
	c := startNginx(t, []string{mount})
	begin := time.Now()
	stopped := c.beginStop()
	wantStatus(t, c.address(8086), "/readyz", 503)
	c.servesFor(3*time.Second, begin, 80)
	took := stopped()
	if took < 3*time.Second { // an engine under load takes its time to notice the end; stop fails where it had to kill
		t.Errorf("docker stop took %v, want the term delay of 3s and little more", took)
	}
	c.wantExit(0)
	wantLastWord(t, log, "Completed", "TERM")
}

// TestNginxSlowRequest: a download that is under way finishes, since usher makes the QUIT of docker's TERM that nginx wants. The
// control gives nginx the TERM: it is cut off.
func TestNginxSlowRequest(t *testing.T) {
	t.Parallel()
	t.Run("quit", func(t *testing.T) {
		t.Parallel()
		if got, err := download(t); got != size || err != nil {
			t.Errorf("the download ended after %d of %d bytes: %v", got, size, err)
		}
	})
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		if got, _ := download(t, "--entrypoint=/usher"); got == size {
			t.Error("the download finished though nginx got TERM")
		}
	})
}

const size = 64 << 20 // far more than the sockets' buffers hold

// download stops nginx under a client that has read little of its answer, and returns how much it gets in the end.
func download(t *testing.T, flags ...string) (got int64, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	flags = append(flags, "-v="+file+":/var/www/html/big:ro", "-e=USHER_TERM_DELAY=1s")
	c := startNginx(t, flags, "nginx", "-g", "daemon off;")
	addr := c.address(80)
	resp, err := client.Get("http://" + addr + "/big")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != size {
		t.Fatalf("GET /big: %s, %d bytes", resp.Status, resp.ContentLength)
	}
	stopped := c.beginStop()
	wantStatus(t, addr, "/", 0) // it has closed its door: it was told
	got, err = io.Copy(io.Discard, resp.Body)
	stopped()
	c.wantExit(0)
	return got, err
}
