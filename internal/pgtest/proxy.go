package pgtest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Proxy passes on what clients and a server say to each other.
type Proxy struct {
	DSN string // leads through the proxy

	// Idle, if it is not nil, is called before a client is told that its
	// statements are done and that it is in no transaction: at the moment when a
	// pooler may give its session to somebody else. Calls do not overlap. Set it
	// while no client is busy.
	Idle func()

	idle sync.Mutex      // held by Idle
	over bool            // there are no more calls of Idle
	mu   sync.Mutex      // of what follows
	sent [2]bytes.Buffer // by clients, by the server
}

// StartProxy returns a Proxy before the server that dsn names, without TLS, until
// the end of the test.
func StartProxy(t testing.TB, dsn string) *Proxy {
	t.Helper()
	target, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	u := url.URL{Scheme: "postgres", User: url.UserPassword(target.User, target.Password), Host: l.Addr().String(), Path: "/" + target.Database, RawQuery: "sslmode=disable"}
	p := &Proxy{DSN: u.String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", net.JoinHostPort(target.Host, strconv.Itoa(int(target.Port))))
			if err != nil {
				client.Close()
				continue
			}
			go func() {
				io.Copy(io.MultiWriter(recorder{p}, server), client)
				server.Close()
			}()
			go func() {
				p.passOn(client, server)
				client.Close()
			}()
		}
	}()
	return p
}

// recorder records what clients send.
type recorder struct{ *Proxy }

func (r recorder) Write(b []byte) (int, error) { return r.record(0, b) }

func (p *Proxy) record(by int, b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[by].Write(b)
}

// Take returns the bytes that clients sent since the last call, and after them
// those of the server. Call it while no client is busy, and have not more than one
// if it matters which bytes follow each other.
func (p *Proxy) Take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := append(bytes.Clone(p.sent[0].Bytes()), p.sent[1].Bytes()...)
	p.sent[0].Reset()
	p.sent[1].Reset()
	return all
}

// Stop waits for the call of Idle that runs, and has no more of them.
func (p *Proxy) Stop() {
	p.idle.Lock()
	defer p.idle.Unlock()
	p.over = true
}

func (p *Proxy) callIdle() {
	p.idle.Lock()
	defer p.idle.Unlock()
	if !p.over {
		p.Idle()
	}
}

// passOn passes on the messages of the server.
func (p *Proxy) passOn(client io.Writer, server io.Reader) {
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		message := make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
		copy(message, head)
		if _, err := io.ReadFull(server, message[len(head):]); err != nil {
			return
		}
		if message[0] == 'Z' && message[5] == 'I' && p.Idle != nil {
			p.callIdle()
		}
		p.record(1, message)
		if _, err := client.Write(message); err != nil {
			return
		}
	}
}
