package main_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// The least that a client says to servers that speak no HTTP: one request on a connection of its own.

func dial(addr string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err == nil {
		c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

func expect(r io.Reader, answer string) error {
	got := make([]byte, len(answer))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if string(got) != answer {
		return fmt.Errorf("%q was answered, want %q", got, answer)
	}
	return nil
}

// asking asks in one line, on a connection of its own.
func asking(question, answer string) func(addr, page string) error {
	return func(addr, _ string) error {
		c, err := dial(addr)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := fmt.Fprint(c, question); err != nil {
			return err
		}
		return expect(c, answer)
	}
}

func askGRPC(addr, page string) error {
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	service := ""
	if page != "/" {
		service = "slow"
	}
	_, err = healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	return err
}

// askFastCGI asks php-fpm for its ping page, or for slow.php.
func askFastCGI(dir string) func(addr, page string) error {
	return func(addr, page string) error {
		c, err := dial(addr)
		if err != nil {
			return err
		}
		defer c.Close()
		script := "/ping"
		if page != "/" {
			script = "/slow.php"
		}
		var out bytes.Buffer
		record := func(kind byte, body string) {
			out.Write([]byte{1, kind, 0, 1, byte(len(body) >> 8), byte(len(body)), 0, 0})
			out.WriteString(body)
		}
		param := func(name, value string) string {
			return string([]byte{byte(len(name)), byte(len(value))}) + name + value
		}
		record(1, "\x00\x01\x00\x00\x00\x00\x00\x00") // a responder, for one request
		record(4, param("REQUEST_METHOD", "GET")+param("SCRIPT_NAME", script)+param("SCRIPT_FILENAME", dir+script))
		record(4, "")
		record(5, "")
		if _, err := c.Write(out.Bytes()); err != nil {
			return err
		}
		var answer strings.Builder
		for header := make([]byte, 8); ; {
			if _, err := io.ReadFull(c, header); err != nil {
				return err
			}
			body := make([]byte, int(header[4])<<8+int(header[5])+int(header[6]))
			if _, err := io.ReadFull(c, body); err != nil {
				return err
			}
			switch header[1] {
			case 6:
				answer.Write(body)
			case 3: // the end
				if strings.Contains(answer.String(), "pong") || strings.Contains(answer.String(), "ok\n") {
					return nil
				}
				return fmt.Errorf("php-fpm: %q", &answer)
			}
		}
	}
}

// askPostgres logs in without a password, and has the server sleep for a slow page.
func askPostgres(addr, page string) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	message := func(kind, body string) string {
		return kind + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body
	}
	// ready reads messages until the server waits for a query.
	ready := func() error {
		for header := make([]byte, 5); ; {
			if _, err := io.ReadFull(c, header); err != nil {
				return err
			}
			body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
			if _, err := io.ReadFull(c, body); err != nil {
				return err
			}
			switch header[0] {
			case 'E':
				return fmt.Errorf("postgres: %q", body)
			case 'Z':
				return nil
			}
		}
	}
	if _, err := io.WriteString(c, message("", "\x00\x03\x00\x00user\x00postgres\x00\x00")); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	query := "select 1\x00"
	if page != "/" {
		query = fmt.Sprintf("select pg_sleep(%g)\x00", verySlowPage.Seconds())
	}
	if _, err := io.WriteString(c, message("Q", query)); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	_, err = io.WriteString(c, message("X", ""))
	return err
}

// askMariaDB logs in as root, without a password, and has the server sleep for a slow page.
func askMariaDB(addr, page string) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	packet := func() ([]byte, error) {
		header := make([]byte, 4)
		if _, err := io.ReadFull(c, header); err != nil {
			return nil, err
		}
		body := make([]byte, int(header[0])|int(header[1])<<8|int(header[2])<<16)
		_, err := io.ReadFull(c, body)
		if err == nil && len(body) > 0 && body[0] == 0xff {
			err = fmt.Errorf("mariadbd: %q", body)
		}
		return body, err
	}
	send := func(number byte, body string) error {
		_, err := c.Write(append([]byte{byte(len(body)), byte(len(body) >> 8), 0, number}, body...))
		return err
	}
	if _, err := packet(); err != nil { // the greeting
		return err
	}
	// Protocol 4.1, secure connection, plugin's name.
	login := "\x00\x82\x08\x00" + "\x00\x00\x00\x01" + "\x21" + strings.Repeat("\x00", 23) + "root\x00" + "\x00" + "mysql_native_password\x00"
	if err := send(1, login); err != nil {
		return err
	}
	if _, err := packet(); err != nil {
		return err
	}
	query := "\x03do 1"
	if page != "/" {
		query = fmt.Sprintf("\x03do sleep(%g)", verySlowPage.Seconds())
		time.Sleep(20 * time.Millisecond) // as in a pool: what follows an answer within a jiffy may not be seen as a question
	}
	if err := send(0, query); err != nil {
		return err
	}
	if _, err := packet(); err != nil {
		return err
	}
	return send(0, "\x01")
}
