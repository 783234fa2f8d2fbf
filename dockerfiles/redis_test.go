package dockerfiles

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestRedis: it serves through the hold, saves at the stop, and has everything when it is started again. Its user is not root.
func TestRedis(t *testing.T) {
	t.Parallel()
	log, mount := terminationLog(t)
	c := startRedis(t, mount)
	c.redis("SET before stop", "+OK")
	stopped := c.beginStop()
	wantStatus(t, c.address(8086), "/readyz", 503)
	c.redis("GET before", "stop")
	c.redis("SET during hold", "+OK")
	took := stopped()
	if took < 3*time.Second {
		t.Errorf("docker stop took %v, want the term delay of 3s and little more", took)
	}
	c.wantExit(0)
	wantLastWord(t, log, "Completed", "TERM")

	c.docker("start", c.name)
	c.wantHealth("healthy")
	c.redis("GET before", "stop")
	c.redis("GET during", "hold")
}

// TestRedisControl: it was the stop that saved.
func TestRedisControl(t *testing.T) {
	t.Parallel()
	c := startRedis(t)
	c.redis("SET before kill", "+OK")
	c.kill("KILL")
	c.wantExit(137)
	c.docker("start", c.name)
	c.wantHealth("healthy")
	c.redis("GET before", "$-1") // no such key
}

func startRedis(t *testing.T, flags ...string) *container {
	t.Helper()
	c := start(t, spec{image: redisImage, flags: append([]string{"--health-interval=300ms"}, flags...)})
	c.wantHealth("healthy")
	return c
}

// redis sends a command over a new connection.
func (c *container) redis(command, want string) {
	c.t.Helper()
	got, err := inline(c.address(6379), command)
	if err != nil || got != want {
		c.t.Errorf("redis: %s: %q (%v), want %q", command, got, err, want)
	}
}

// inline speaks as much of redis's protocol as the tests need.
func inline(addr, command string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	fmt.Fprintf(conn, "%s\r\n", command)
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err == nil && strings.HasPrefix(line, "$") && line[1] != '-' { // a string follows; otherwise that was all
		line, err = r.ReadString('\n')
	}
	return strings.TrimSpace(line), err
}
