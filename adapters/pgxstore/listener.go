package pgxstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sealfield/sealfield/keyring"
)

var (
	errNoNotices = errors.New("notices do not arrive here, perhaps because of a proxy that pools transactions")
	errClosed    = errors.New("pgxstore: watch: the store is closed")
)

// Watch implements keyring.Watcher by LISTEN. All calls share one connection,
// which is made anew when it breaks. It returns at once if the database
// refuses the caller, after selfTestTimeout if notices do not get through, and
// with Close.
func (s *Store) Watch(ctx context.Context, keyring string, changed func()) error {
	w := &watcher{keyring: keyring, wake: make(chan struct{}, 1), failed: make(chan error, 1)}
	s.listener.add(w)
	defer s.listener.remove(w)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-w.failed:
			return err
		case <-w.wake:
			changed()
		}
	}
}

// watcher is a call of Watch.
type watcher struct {
	keyring string
	wake    chan struct{} // holds one
	failed  chan error    // holds one
}

// listener keeps a connection with LISTEN while there are watchers.
type listener struct {
	config func() *pgx.ConnConfig
	schema string // also the channel
	notify func(ctx context.Context, payload string) error
	timing timing

	mu       sync.Mutex
	watchers map[*watcher]bool
	live     bool // notices arrive
	closed   bool
	stop     context.CancelFunc // ends run; nil if it does not run
	done     chan struct{}      // closed when the latest run is over
}

// timing is how long things take. Tests make it shorter.
type timing struct {
	selfTest   time.Duration // for a notice to come back
	ping       time.Duration // of silence before a look whether the connection is alive
	minBackoff time.Duration // before the first attempt to connect again; doubled for each further one
	maxBackoff time.Duration
}

func newListener(config *pgx.ConnConfig, schema string, notify func(context.Context, string) error) *listener {
	done := make(chan struct{})
	close(done)
	return &listener{
		config: hidden(config), schema: schema, notify: notify,
		timing:   timing{selfTest: 5 * time.Second, ping: time.Minute, minBackoff: 100 * time.Millisecond, maxBackoff: 30 * time.Second},
		watchers: make(map[*watcher]bool), done: done,
	}
}

func (l *listener) add(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		w.failed <- errClosed
		return
	}
	l.watchers[w] = true
	if l.live {
		w.wake <- struct{}{}
	}
	if l.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		before, done := l.done, make(chan struct{})
		l.stop, l.done = stop, done
		go func() {
			defer close(done)
			<-before // one connection at a time
			l.run(ctx)
		}()
	}
}

func (l *listener) remove(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watchers, w)
	if len(l.watchers) == 0 {
		l.halt()
	}
}

// halt ends run. The caller holds mu.
func (l *listener) halt() {
	if l.stop != nil {
		l.stop()
		l.stop, l.live = nil, false
	}
}

func (l *listener) close() {
	l.mu.Lock()
	l.closed = true
	l.failAll(errClosed)
	done := l.done
	l.mu.Unlock()
	<-done
}

// failAll ends all calls of Watch, and run. The caller holds mu.
func (l *listener) failAll(err error) {
	for w := range l.watchers {
		w.failed <- err
	}
	clear(l.watchers)
	l.halt()
}

// wakeAll calls the watchers of a keyring, or of all with "". The caller holds mu.
func (l *listener) wakeAll(keyring string) {
	for w := range l.watchers {
		if keyring == "" || keyring == w.keyring {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
}

// run listens until ctx ends, over as many connections as it takes. It gives
// up only if the first connection shows that listening can not work here.
func (l *listener) run(ctx context.Context) {
	proven, backoff := false, l.timing.minBackoff
	for {
		err := l.listen(ctx, func() {
			proven, backoff = true, l.timing.minBackoff
		})
		l.mu.Lock()
		if ctx.Err() != nil { // somebody else may be running already
			l.mu.Unlock()
			return
		}
		l.live = false
		if !proven && (errors.Is(err, errNoNotices) || errors.Is(err, keyring.ErrDenied)) {
			l.failAll(err)
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff/2 + mathrand.N(backoff)):
		}
		backoff = min(2*backoff, l.timing.maxBackoff)
	}
}

// listen listens over one connection until it breaks, and says why. It calls
// ready when notices have been seen to arrive.
func (l *listener) listen(ctx context.Context, ready func()) error {
	conn, err := pgx.ConnectConfig(ctx, l.config())
	if err != nil {
		return failed("watch", err)
	}
	defer closeConn(conn)
	if _, err := conn.Exec(ctx, "listen "+pgx.Identifier{l.schema}.Sanitize()); err != nil {
		return failed("watch", err)
	}
	if err := l.selfTest(ctx, conn); err != nil {
		return failed("watch", err)
	}
	ready()
	if !l.goLive(ctx) {
		return ctx.Err()
	}
	for {
		n, err := l.next(ctx, conn)
		if err != nil {
			return failed("watch", err)
		}
		if n == nil || n.Payload == "" {
			continue
		}
		l.mu.Lock()
		l.wakeAll(n.Payload)
		l.mu.Unlock()
	}
}

// goLive wakes everybody: what happened before was not seen.
func (l *listener) goLive(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	l.live = true
	l.wakeAll("")
	return true
}

// selfTest sends a notice over another connection and waits for it.
func (l *listener) selfTest(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, l.timing.selfTest)
	defer cancel()
	nonce := "?" + rand.Text() // no keyring's name
	if err := l.notify(ctx, nonce); err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%w: %w", errNoNotices, err)
		}
		if err != nil {
			return err
		}
		if n.Payload == nonce {
			return nil
		}
	}
}

// next returns the next notice, or nil after a time of silence in which the
// connection was found to be alive.
func (l *listener) next(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	wait, cancel := context.WithTimeout(ctx, l.timing.ping)
	defer cancel()
	n, err := conn.WaitForNotification(wait)
	if err == nil || ctx.Err() != nil || !errors.Is(wait.Err(), context.DeadlineExceeded) {
		return n, err
	}
	alive, cancel := context.WithTimeout(ctx, l.timing.selfTest)
	defer cancel()
	return nil, conn.Ping(alive)
}

// closeConn says goodbye, also when the context of the connection has ended.
// Behind a proxy the server's session outlives it: it must not go on listening.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Exec(ctx, "unlisten *")
	conn.Close(ctx)
}
