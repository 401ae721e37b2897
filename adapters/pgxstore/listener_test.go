package pgxstore

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

func quick(s *Store) {
	s.listener.timing = timing{selfTest: 2 * time.Second, ping: 100 * time.Millisecond, minBackoff: 10 * time.Millisecond, maxBackoff: 50 * time.Millisecond}
}

// watch starts a Watch and returns what waits for its next call of changed.
func watch(t *testing.T, s *Store, name string) (await func(), quiet func(), stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	changed, returned := make(chan struct{}, 1000), make(chan error, 1)
	go func() { returned <- s.Watch(ctx, name, func() { changed <- struct{}{} }) }()
	await = func() {
		t.Helper()
		select {
		case <-changed:
		case err := <-returned:
			require.FailNow(t, "Watch returned", "%v", err)
		case <-time.After(20 * time.Second):
			require.FailNow(t, "no call of changed")
		}
	}
	quiet = func() {
		t.Helper()
		select {
		case <-changed:
			require.FailNow(t, "a call of changed without a change")
		case <-time.After(300 * time.Millisecond):
		}
	}
	stop = func() {
		cancel()
		select {
		case err := <-returned:
			require.ErrorIs(t, err, context.Canceled)
		case <-time.After(20 * time.Second):
			require.FailNow(t, "Watch does not return")
		}
	}
	return await, quiet, stop
}

func TestWatch(t *testing.T) {
	s, root, conn := newStore(t)
	quick(s)
	await, quiet, stop := watch(t, s, "app")
	await()
	quiet() // also over several pings
	other := open(t, conn.Config(), Config{})
	require.NoError(t, other.InsertKey(t.Context(), aKey(root, "a", 1)))
	await()
	execSQL(t, conn, `update sealfield.keys set state = 'suspended'`)
	await()
	execSQL(t, conn, `update sealfield.roots set revision = 2 where purpose = 'index'`)
	await()
	execSQL(t, conn, `delete from sealfield.keys`)
	await()
	require.NoError(t, other.Create(t.Context(), []keyring.Root{{Keyring: "other", Purpose: keyring.Index, Version: 1, ID: randomID(), State: keyring.RootOpen, Check: make([]byte, 32)}}))
	quiet()

	second, _, stopSecond := watch(t, s, "app")
	second()
	stop()
	require.NoError(t, other.EraseScope(t.Context(), "app", "a"))
	second()
	stopSecond()

	again, _, stopAgain := watch(t, s, "app")
	again()
	stopAgain()
}

func TestWatchReconnects(t *testing.T) {
	s, root, conn := newStore(t)
	quick(s)
	await, _, stop := watch(t, s, "app")
	defer stop()
	await()
	for v := 1; v <= 3; v++ {
		var ended int
		require.NoError(t, conn.QueryRow(t.Context(), `select count(pg_terminate_backend(pid)) from pg_stat_activity
			where datname = current_database() and (query like 'listen%' or query = '-- ping')`).Scan(&ended))
		require.Equal(t, 1, ended)
		await() // after the gap
		require.NoError(t, s.InsertKey(t.Context(), aKey(root, "a", v)))
		await()
	}
}

// A pooler that does not pass notices on is found out, and left alone.
func TestWatchWithoutNotices(t *testing.T) {
	_, _, conn := newStore(t)
	config := conn.Config().Copy()
	server := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	config.Host, config.Port, config.Fallbacks = "127.0.0.1", deafProxy(t, server), nil
	s := open(t, config, Config{})
	quick(s)
	start := time.Now()
	err := s.Watch(t.Context(), "app", func() { t.Error("changed was called") })
	require.ErrorIs(t, err, errNoNotices)
	require.Less(t, time.Since(start), 10*time.Second)
	_, err = s.Load(t.Context(), "app", nil)
	require.NoError(t, err, "everything else works")
	require.Eventually(t, func() bool {
		var n int
		err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'sealfield' and query like 'listen%'`).Scan(&n)
		return err == nil && n == 0
	}, 10*time.Second, 10*time.Millisecond)
}

func TestWatchEndsWithClose(t *testing.T) {
	s, _, _ := newStore(t)
	returned := make(chan error, 1)
	called := make(chan struct{}, 1)
	go func() { returned <- s.Watch(t.Context(), "app", func() { called <- struct{}{} }) }()
	<-called
	s.Close()
	require.Error(t, <-returned)
}

// deafProxy forwards everything between clients and the server at address but
// the server's notices, and returns its port.
func deafProxy(t *testing.T, address string) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				client.Close()
				return
			}
			go func() { io.Copy(server, client); server.Close() }()
			go func() { dropNotices(client, server); client.Close() }()
		}
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func dropNotices(client io.Writer, server io.Reader) {
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		if head[0] == 'A' {
			continue
		}
		if _, err := client.Write(append(head, body...)); err != nil {
			return
		}
	}
}
