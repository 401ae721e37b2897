package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sealfield/sealfield/internal/flight"
)

// Keyring is an open keyring. It is safe for concurrent use and meant to be
// opened once per process. Close it to wipe its keys.
type Keyring struct {
	name         string
	store        Store
	keks         map[Purpose][]*kek
	allowMissing bool
	settings     Settings
	algorithm    Algorithm
	refreshEvery time.Duration
	rotateEvery  time.Duration // zero: never
	scopeRate    int           // new scopes per minute
	scopeLimit   int           // in memory, per purpose
	timeout      time.Duration
	log          *slog.Logger
	start        time.Time // of the monotonic clock

	// What the hot path reads.
	clock     atomic.Int64     // the store's time in Unix nanoseconds: coarse, never ahead
	staleness [4]atomic.Uint32 // fresh, encryptStale, decryptStale or closed, per purpose
	only      [4]atomic.Pointer[entry]
	scopes    [4]scopeMap

	cached atomic.Int64 // bytes in caches, at most maxCache

	erasures  erasures
	roots     roots
	loads     flight.Group[Target, *entry]
	colds     flight.Group[Target, *entry] // around loads, for targets not in memory
	firstKeys flight.Group[Target, struct{}]
	refreshes flight.Group[struct{}, struct{}]

	rotateFailed error // of the last rotation by age; of upkeep alone

	mu        sync.Mutex
	offset    time.Duration // the store's clock is at least offset + mono()
	offsetAt  time.Duration // when offset was taken over
	refreshed time.Duration // when the last complete refresh began
	refusal   error         // of the last refresh, if it failed or refused rows
	watching  bool          // the store tells of changes
	slots     map[string]slot
	newScopes bucket
	alarms    bucket
	unnamed   int // alarms

	ctx  context.Context // ends at Close
	stop context.CancelCauseFunc
	done sync.WaitGroup
}

// The values of Keyring.staleness, each including the one before.
const (
	fresh = iota
	encryptStale
	decryptStale
	closed
)

// Create makes a new keyring: one root key per purpose, each wrapped by every
// KMS of the Config and given back by it. It fails with ErrExists if the store has
// a keyring of that name. It needs the right to Wrap; Open and everything after
// need only Unwrap.
func Create(ctx context.Context, cfg Config) (*Keyring, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	for _, p := range purposes {
		if len(cfg.kms(p)) == 0 {
			return nil, fmt.Errorf("keyring: create %s: Config has no KMS for purpose %s", cfg.Name, p)
		}
	}
	settings := cfg.settings()
	kr, err := newKeyring(cfg, settings)
	if err != nil {
		return nil, err
	}
	if err := kr.create(ctx); err != nil {
		kr.Close()
		return nil, err
	}
	return kr, nil
}

func (kr *Keyring) create(ctx context.Context) error {
	if loaded, err := kr.loadStore(ctx, nil); !errors.Is(err, ErrNotFound) {
		if len(loaded.Roots) > 0 {
			err = ErrExists // whatever is wrong with it
		}
		return fmt.Errorf("keyring: create %s: %w", kr.name, err)
	}
	var made []madeRoot
	var rows []Root
	for _, p := range purposes {
		id := newKeyID()
		for slices.ContainsFunc(rows, func(r Root) bool { return r.ID == id }) {
			id = newKeyID()
		}
		r, err := kr.newRoot(ctx, p, 1, id, time.Now())
		if err != nil {
			return fmt.Errorf("keyring: create %s: %w", kr.name, err)
		}
		made, rows = append(made, r), append(rows, r.row)
	}
	if err := kr.write(ctx, func(ctx context.Context) error { return kr.store.Create(ctx, rows) }); err != nil {
		return fmt.Errorf("keyring: create %s: %w", kr.name, err)
	}
	for _, r := range made {
		kr.roots.add(r, kr.mono())
	}
	return kr.begin(ctx)
}

// Open opens a keyring that exists, and fails with ErrNotFound otherwise. It
// never makes one. It calls no KMS: a root key is unwrapped when its purpose is
// first used.
func Open(ctx context.Context, cfg Config) (*Keyring, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	loaded, err := bounded(ctx, cfg.Timeout, func(ctx context.Context) (Loaded, error) {
		return cfg.Store.Load(ctx, cfg.Name, nil)
	})
	if err == nil && len(loaded.Roots) == 0 {
		err = fmt.Errorf("%w: a keyring without root keys", ErrTampered)
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: open %s: %w", cfg.Name, storeError(err))
	}
	// The settings are proven when a root is unwrapped; until then a root
	// that says otherwise than the others is refused.
	for _, r := range loaded.Roots {
		if r.Settings != loaded.Roots[0].Settings {
			return nil, rootError(&r, fmt.Errorf("%w: its settings differ from another root key's", ErrTampered))
		}
	}
	if err := cfg.agree(loaded.Roots[0].Settings); err != nil {
		return nil, err
	}
	kr, err := newKeyring(cfg, loaded.Roots[0].Settings)
	if err != nil {
		return nil, err
	}
	if err := kr.begin(ctx); err != nil {
		kr.Close()
		return nil, err
	}
	return kr, nil
}

// OpenOrCreate opens the keyring, or creates it if the store says that there
// is none. It is meant for development and tests: in production the right to
// create keys belongs to a role of its own.
func OpenOrCreate(ctx context.Context, cfg Config) (*Keyring, error) {
	kr, err := Open(ctx, cfg)
	if errors.Is(err, ErrNotFound) {
		kr, err = Create(ctx, cfg)
	}
	if errors.Is(err, ErrExists) {
		kr, err = Open(ctx, cfg)
	}
	return kr, err
}

func newKeyring(cfg Config, settings Settings) (*Keyring, error) {
	every, err := cfg.refreshEvery(settings)
	if err == nil {
		err = cfg.checkRotateEvery(settings)
	}
	if err != nil {
		return nil, err
	}
	kr := &Keyring{
		name: cfg.Name, store: cfg.Store, keks: newKEKs(&cfg), allowMissing: cfg.AllowMissingWraps, settings: settings, algorithm: cfg.Algorithm,
		refreshEvery: every, rotateEvery: cfg.RotateEvery, scopeRate: cfg.NewScopesPerMinute, scopeLimit: maxScopes, timeout: cfg.Timeout, log: cfg.Logger, start: time.Now(), slots: make(map[string]slot),
	}
	kr.ctx, kr.stop = context.WithCancelCause(context.Background())
	return kr, nil
}

// begin makes the first refresh and starts the work in the background.
func (kr *Keyring) begin(ctx context.Context) error {
	if err := kr.Refresh(ctx); err != nil {
		return err
	}
	kr.done.Go(kr.tick)
	kr.done.Go(kr.poll)
	kr.done.Go(kr.upkeep)
	return nil
}

// Close stops the work in the background and wipes the keys (best effort: keys
// that calls under way hold stay until these return). Later calls fail with
// ErrClosed. It does not close the Store. Closing again does nothing.
func (kr *Keyring) Close() error {
	kr.mu.Lock()
	again := kr.isClosed()
	for i := range kr.staleness {
		kr.staleness[i].Store(closed)
	}
	kr.mu.Unlock()
	if again {
		return nil
	}
	kr.stop(ErrClosed)
	kr.done.Wait()
	for _, e := range kr.entries() {
		kr.drop(e)
	}
	kr.roots.wipe()
	return nil
}

func (kr *Keyring) isClosed() bool { return kr.staleness[0].Load() == closed }

// Name returns the keyring's name.
func (kr *Keyring) Name() string { return kr.name }

// Scoped reports whether every call needs a scope.
func (kr *Keyring) Scoped() bool { return kr.settings.Scoped }

// String returns the keyring's name and nothing secret.
func (kr *Keyring) String() string { return "keyring " + kr.name }

// mono is this process's monotonic clock.
func (kr *Keyring) mono() time.Duration { return time.Since(kr.start) }

// now is a lower bound of the store's clock, at the time of the call.
func (kr *Keyring) now() time.Time {
	kr.mu.Lock()
	defer kr.mu.Unlock()
	return time.Unix(0, int64(kr.offset+kr.mono())).UTC()
}

// setClock takes over the store's time, which was read between asOf and now: so
// the clock is never ahead of the store's, and activates nothing early. Of reads
// that overlapped, the one that says the latest time is the nearest.
func (kr *Keyring) setClock(storeTime time.Time, asOf time.Duration) {
	kr.mu.Lock()
	mono := kr.mono()
	offset := time.Duration(storeTime.UnixNano()) - mono
	if asOf >= kr.offsetAt || offset > kr.offset {
		kr.offset, kr.offsetAt = offset, mono
	}
	kr.mu.Unlock()
	kr.updateClock()
}

// updateClock publishes what the hot path reads, so that it needs no time.Now
// and so that the graces end by themselves.
func (kr *Keyring) updateClock() {
	var changed [closed][]Purpose
	kr.mu.Lock()
	mono := kr.mono()
	kr.clock.Store(int64(kr.offset + mono))
	proven := kr.roots.proven()
	for i := range kr.staleness {
		state := kr.settings.staleness(mono - min(kr.refreshed, proven[i]))
		if old := kr.staleness[i].Load(); old != closed && old != state {
			kr.staleness[i].Store(state)
			changed[state] = append(changed[state], purposes[i])
		}
	}
	kr.mu.Unlock()
	for state, of := range changed {
		switch {
		case len(of) == 0:
		case state == fresh:
			kr.log.Info("sealfield: keys are fresh again", "keyring", kr.name, "purposes", of)
		default:
			kr.log.Error("sealfield: keys are stale", "keyring", kr.name, "purposes", of, "decrypts", state < decryptStale, "encrypts", false)
		}
	}
}

// staleness is what remains possible at an age of the keys.
func (s Settings) staleness(age time.Duration) uint32 {
	switch {
	case age > s.DecryptGrace:
		return decryptStale
	case age > s.EncryptGrace:
		return encryptStale
	}
	return fresh
}

// tick keeps the coarse clock: one second, less if the keyring's times are
// short.
func (kr *Keyring) tick() {
	s := kr.settings
	every := min(time.Second, max(time.Millisecond, min(s.PropagationDelay, s.EncryptGrace, s.DecryptGrace)/8))
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-kr.ctx.Done():
			return
		case <-t.C:
			kr.updateClock()
		}
	}
}

// Limits on how often poll looks at the store.
const (
	minRefresh   = 10 * time.Millisecond // whatever the Config
	noticeSpace  = time.Second           // between refreshes that notices ask for
	noticeJitter = 100 * time.Millisecond
)

// poll refreshes at every interval and at every notice of the store; notices that
// come in numbers share a refresh. After a failure it comes back sooner.
func (kr *Keyring) poll() {
	changed := make(chan struct{}, 1)
	if w, ok := kr.store.(Watcher); ok {
		kr.done.Go(func() { kr.watch(w, changed) })
	}
	wait, noticed, failing := kr.refreshEvery, -noticeSpace, false
	for {
		select {
		case <-kr.ctx.Done():
			return
		case <-time.After(jitter(wait)):
		case <-changed:
			select {
			case <-kr.ctx.Done():
				return
			case <-time.After(max(0, noticed+noticeSpace-kr.mono()) + rand.N(noticeJitter)):
			}
			noticed = kr.mono()
		}
		wait = kr.refreshEvery
		err := kr.refreshStore(kr.ctx)
		switch {
		case kr.ctx.Err() != nil:
		case err != nil && !failing:
			kr.log.Warn("sealfield: refresh of keys failed", "keyring", kr.name, "error", err)
		case err == nil && failing:
			kr.log.Info("sealfield: refresh of keys works again", "keyring", kr.name)
		}
		if failing = err != nil; failing {
			wait /= 4
		}
	}
}

// jitter returns d plus or minus a tenth, but not less than poll may wait.
func jitter(d time.Duration) time.Duration { return max(minRefresh, d-d/10+rand.N(d/5+1)) }

func (kr *Keyring) watch(w Watcher, changed chan<- struct{}) {
	err := w.Watch(kr.ctx, kr.name, func() {
		kr.setWatching(true)
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	kr.setWatching(false)
	if kr.ctx.Err() == nil {
		kr.log.Warn("sealfield: the store can not be watched, polling only", "keyring", kr.name, "every", kr.refreshEvery, "error", err)
	}
}

func (kr *Keyring) setWatching(is bool) {
	kr.mu.Lock()
	kr.watching = is
	kr.mu.Unlock()
}

// checkPurpose refuses calls after Close and unknown purposes.
func (kr *Keyring) checkPurpose(p Purpose) error {
	switch {
	case kr.isClosed():
		return fmt.Errorf("keyring: %s: %w", kr.name, ErrClosed)
	case !p.valid():
		return fmt.Errorf("keyring: %s: no such purpose: %q", kr.name, p)
	}
	return nil
}

// check refuses what checkPurpose does, and wrong scopes.
func (kr *Keyring) check(t Target) error {
	if err := kr.checkPurpose(t.Purpose); err != nil {
		return err
	}
	switch {
	case kr.settings.Scoped && t.Scope == "":
		return fmt.Errorf("keyring: %s: %w: the keyring is scoped and the scope is empty", kr.name, ErrScope)
	case !kr.settings.Scoped && t.Scope != "":
		return fmt.Errorf("keyring: %s: %w: the keyring is not scoped and the scope is not empty", kr.name, ErrScope)
	case !utf8.ValidString(t.Scope) || strings.IndexByte(t.Scope, 0) >= 0:
		return fmt.Errorf("keyring: %s: %w: %q is not valid UTF-8 without NUL, which stores could not keep", kr.name, ErrScope, t.Scope)
	}
	return nil
}

// index returns the place of p in purposes.
func (p Purpose) index() int {
	switch p {
	case Encryption:
		return 0
	case Index:
		return 1
	case Token:
		return 2
	}
	return 3
}

// entry returns what is in memory of a target's keys, or nil.
func (kr *Keyring) entry(p Purpose, scope string) *entry {
	if !kr.settings.Scoped {
		if scope != "" {
			return nil
		}
		return kr.only[p.index()].Load()
	}
	return kr.scopes[p.index()].get(scope)
}

// keep publishes e, unless its target has an entry already, which it returns, or
// e was evicted or dropped, or is outdated: then it returns nil.
func (kr *Keyring) keep(e *entry) *entry {
	i := e.target.Purpose.index()
	if !kr.settings.Scoped {
		kr.mu.Lock()
		defer kr.mu.Unlock()
		switch old := kr.only[i].Load(); {
		case e.gone:
			return nil
		case old != nil:
			return old
		}
		kr.only[i].Store(e)
		return e
	}
	kept, evicted := kr.scopes[i].add(e, kr.scopeLimit, &kr.erasures)
	if evicted != nil {
		evicted.close()
	}
	return kept
}

// drop forgets an entry and wipes its keys.
func (kr *Keyring) drop(e *entry) {
	i := e.target.Purpose.index()
	if kr.settings.Scoped {
		kr.scopes[i].remove(e)
	} else {
		kr.mu.Lock()
		e.gone = true
		kr.only[i].CompareAndSwap(e, nil)
		kr.mu.Unlock()
	}
	e.close()
}

func (kr *Keyring) entries() []*entry {
	var all []*entry
	for i := range kr.only {
		if e := kr.only[i].Load(); e != nil {
			all = append(all, e)
		}
		all = append(all, kr.scopes[i].entries()...)
	}
	return all
}

// slot is what the derivations with one label have in common.
type slot struct {
	index     int // into Material.derived
	shortcuts any // *shortcuts[T]
}

func slotOf[T any](kr *Keyring, label string) (int, *shortcuts[T]) {
	kr.mu.Lock()
	defer kr.mu.Unlock()
	s, ok := kr.slots[label]
	if !ok {
		s = slot{len(kr.slots), &shortcuts[T]{}}
		kr.slots[label] = s
	}
	return s.index, s.shortcuts.(*shortcuts[T])
}

// bounded runs f with a time limit.
func bounded[T any](ctx context.Context, limit time.Duration, f func(context.Context) (T, error)) (T, error) {
	return flight.Within(ctx, limit, f)
}

// write runs a change of the store with the keyring's time limit.
func (kr *Keyring) write(ctx context.Context, f func(context.Context) error) error {
	_, err := bounded(ctx, kr.timeout, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	if err != nil {
		return storeError(err)
	}
	return nil
}

// storeError makes every failure of a store a typed one.
func storeError(err error) error {
	for _, known := range []error{ErrNotFound, ErrExists, ErrConflict, ErrErased, ErrTampered, ErrUnavailable, ErrDenied, ErrClosed, context.Canceled} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("store: %w: %w", ErrUnavailable, err)
}
