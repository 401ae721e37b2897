package token

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sealfield/sealfield/keyring"
)

const (
	vaultTries = 10 // to tokenize what others tokenize, too

	// A batch is cut into pieces of so many values and bytes of values, so many
	// of which are with the store at once.
	vaultChunk    = 1000
	chunkBytes    = 4 << 20
	vaultParallel = 4
)

// Tokenize returns a token for value, which has up to MaxVaultValue bytes of any kind;
// an empty value has a token, the token of NULL is the caller's to keep NULL. A
// value that is a token itself is refused. scope is empty unless the keyring is
// scoped; its first call makes the scope's keys. When Tokenize returns, the token
// is in the store.
//
// In a convergent vault the errors of Index.Match apply: rather than make a second
// token for a value it fails.
func (v *Vault) Tokenize(ctx context.Context, value []byte, scope string) (Token, error) {
	tokens, err := v.tokenizeAll(ctx, [][]byte{value}, scope)
	if err != nil {
		if at, ok := errors.AsType[*valueError](err); ok {
			err = at.err
		}
		return "", fmt.Errorf("token: vault %s: %w", v.name, err)
	}
	return tokens[0], nil
}

// TokenizeAll is Tokenize for many values, all of one scope, in the order of
// values: a batch of thousands costs a small part of as many calls. It returns no
// token if it fails; a token that it made before that stays in the store, as if
// the application had rolled back.
func (v *Vault) TokenizeAll(ctx context.Context, values [][]byte, scope string) ([]Token, error) {
	tokens, err := v.tokenizeAll(ctx, values, scope)
	if err != nil {
		return nil, fmt.Errorf("token: vault %s: %w", v.name, err)
	}
	return tokens, nil
}

// valueError says which value of several is wrong.
type valueError struct {
	index int
	err   error
}

func (e *valueError) Error() string { return fmt.Sprintf("value %d: %v", e.index, e.err) }
func (e *valueError) Unwrap() error { return e.err }

func (v *Vault) tokenizeAll(ctx context.Context, values [][]byte, scope string) ([]Token, error) {
	if err := v.checkScope(scope); err != nil {
		return nil, err
	}
	var all []*wanted
	defer func() {
		for _, w := range all {
			clear(w.normalized)
		}
	}()
	for i, value := range values {
		w, err := v.want(value)
		if err != nil {
			return nil, &valueError{i, err}
		}
		all = append(all, w)
	}
	tokenize := v.tokenizeNew
	if v.cfg.Convergent {
		tokenize = v.tokenizeConvergent
	}
	if err := tokenize(ctx, all, scope); err != nil {
		return nil, err
	}
	tokens := make([]Token, len(values))
	for i, w := range all {
		tokens[i] = w.token
	}
	return tokens, nil
}

// wanted is a value that wants a token.
type wanted struct {
	value      []byte
	normalized []byte   // a copy, in a convergent vault
	tags       [][]byte // under all live keys, by ascending version
	token      Token
}

func (v *Vault) want(value []byte) (*wanted, error) {
	switch {
	case len(value) > MaxVaultValue:
		return nil, ErrValueSize
	case IsToken(value):
		return nil, ErrIsToken
	}
	w := &wanted{value: value}
	if !v.cfg.Convergent {
		return w, nil
	}
	var err error
	w.normalized, err = v.cfg.Normalizer.Append(nil, value)
	return w, err
}

// each calls f with all values, in pieces that suit the store and several at once. It
// returns the first error, which ends the others.
func each(ctx context.Context, all []*wanted, f func(ctx context.Context, some []*wanted) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var p parallel
	for len(all) > 0 && ctx.Err() == nil {
		n, size := 0, 0
		for n < len(all) && n < vaultChunk && (n == 0 || size+len(all[n].value) <= chunkBytes) {
			size += len(all[n].value)
			n++
		}
		some := all[:n]
		p.run(func() {
			if err := f(ctx, some); err != nil {
				cancel(err)
			}
		})
		all = all[n:]
	}
	p.wait()
	return context.Cause(ctx)
}

// parallel runs functions, up to vaultParallel at once.
type parallel struct {
	running sync.WaitGroup
	slots   chan struct{}
}

// run waits until f may begin.
func (p *parallel) run(f func()) {
	if p.slots == nil {
		p.slots = make(chan struct{}, vaultParallel)
	}
	p.slots <- struct{}{}
	p.running.Go(func() {
		defer func() { <-p.slots }()
		f()
	})
}

func (p *parallel) wait() { p.running.Wait() }

// tokenizeNew makes a token for each value.
func (v *Vault) tokenizeNew(ctx context.Context, all []*wanted, scope string) error {
	var now time.Time
	if v.cfg.TTL > 0 {
		clock, err := told(v.cfg.Store.Load(ctx, v.kr.Name(), nil))
		if err != nil {
			return err
		}
		now = clock.Now
	}
	return each(ctx, all, func(ctx context.Context, some []*wanted) error {
		if err := v.insert(ctx, some, scope, now); err != nil {
			return err
		}
		if slices.ContainsFunc(some, func(w *wanted) bool { return w.token == "" }) {
			return fmt.Errorf("%w: the store did not add a row", keyring.ErrUnavailable)
		}
		return nil
	})
}

// insert makes tokens for values and stores them, unless their tags are taken.
func (v *Vault) insert(ctx context.Context, all []*wanted, scope string, now time.Time) error {
	rows := make([]VaultRow, len(all))
	for i, w := range all {
		row, token, err := v.seal(ctx, w.value, scope, now)
		if err != nil {
			return err
		}
		row.Tags = w.tags
		rows[i], w.token = row, token
	}
	inserted, err := v.cfg.Store.Insert(ctx, rows)
	if err == nil && len(inserted) != len(rows) {
		err = fmt.Errorf("%w: the store's answer is not complete", keyring.ErrUnavailable)
	}
	for i, w := range all {
		if err != nil || !inserted[i] {
			w.token = ""
		}
	}
	return err
}

// tokenizeConvergent finds or makes the token of each value.
//
// A row has the tags under every live key, pending ones included, and none is
// added if one of its tags is taken. So two processes that know different keys
// make two tokens for one value only if they have no key in common, which takes a
// key that was destroyed before all rows had the tag of its successor.
func (v *Vault) tokenizeConvergent(ctx context.Context, all []*wanted, scope string) error {
	if _, err := v.keys.Active(ctx, scope); err != nil { // makes the first key
		return err
	}
	keys, err := v.keys.Live(ctx, scope)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return fmt.Errorf("%w: the scope's index key is gone", keyring.ErrUnavailable)
	}
	setTags(keys, all)
	first := make(map[string]*wanted) // by tag
	var distinct []*wanted
	for _, w := range all {
		if tag := string(w.tags[0]); first[tag] == nil {
			first[tag] = w
			distinct = append(distinct, w)
		}
	}
	err = each(ctx, distinct, func(ctx context.Context, some []*wanted) error { return v.findOrMake(ctx, some, scope) })
	if err != nil {
		return err
	}
	for _, w := range all {
		w.token = first[string(w.tags[0])].token
	}
	return nil
}

// findOrMake sets the token of values that differ.
func (v *Vault) findOrMake(ctx context.Context, some []*wanted, scope string) error {
	pending := slices.Clone(some)
	hasToken := func(w *wanted) bool { return w.token != "" }
	for range vaultTries {
		now, err := v.find(ctx, pending, scope)
		if err != nil {
			return err
		}
		if pending = slices.DeleteFunc(pending, hasToken); len(pending) == 0 {
			return nil
		}
		if err := v.insert(ctx, pending, scope, now); err != nil && !errors.Is(err, keyring.ErrConflict) {
			return err
		}
		if pending = slices.DeleteFunc(pending, hasToken); len(pending) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: overtaken by others too often", keyring.ErrUnavailable)
}

// find sets the token of those values that have one, and returns the store's time.
func (v *Vault) find(ctx context.Context, all []*wanted, scope string) (time.Time, error) {
	var tags [][]byte
	for _, w := range all {
		tags = append(tags, w.tags...)
	}
	found, err := told(v.cfg.Store.Find(ctx, v.kr.Name(), tags))
	if err != nil {
		return time.Time{}, err
	}
	rows := make(map[string]*VaultRow)
	for i := range found.Rows {
		if row := &found.Rows[i]; len(row.Tags) == 1 {
			rows[string(row.Tags[0])] = row
		}
	}
	for _, w := range all {
		for _, tag := range w.tags {
			row := rows[string(tag)]
			if row == nil {
				continue
			}
			token, err := v.tokenOf(ctx, row, w, scope, found.Now)
			switch {
			case errors.Is(err, ErrExpired): // just now
				continue
			case err != nil:
				return time.Time{}, err
			}
			w.token = token
			break
		}
	}
	return found.Now, nil
}

// told refuses an answer of the store without its time.
func told(rows VaultRows, err error) (VaultRows, error) {
	if err == nil && rows.Now.IsZero() {
		err = fmt.Errorf("%w: the store did not tell its time", keyring.ErrUnavailable)
	}
	return rows, err
}

// tokenOf returns the token of a row that is said to be of w. Who can write the store
// can point a tag to another value's row; only the sealed value is proof.
func (v *Vault) tokenOf(ctx context.Context, row *VaultRow, w *wanted, scope string, now time.Time) (Token, error) {
	o, err := v.open(ctx, row, nil, scope, now)
	switch {
	case errors.Is(err, ErrKind), errors.Is(err, ErrScope):
		return "", ErrTampered
	case err != nil:
		return "", err
	}
	defer clear(o.value)
	normalized, err := v.cfg.Normalizer.Append(nil, o.value)
	defer clear(normalized)
	if err != nil || subtle.ConstantTimeCompare(normalized, w.normalized) == 0 {
		return "", ErrTampered
	}
	return o.token, nil
}

// Match returns the token that value has in a convergent vault, if any: none or one
// in a new slice that is not nil, for a search with "column = any($1)". It makes no
// token and no key. Rows of the application that hold a token of value which has
// ended are not found. The errors are those of Index.Match and of the store.
func (v *Vault) Match(ctx context.Context, value []byte, scope string) ([]Token, error) {
	tokens, err := v.match(ctx, value, scope)
	if err != nil {
		return nil, fmt.Errorf("token: vault %s: %w", v.name, err)
	}
	return tokens, nil
}

func (v *Vault) match(ctx context.Context, value []byte, scope string) ([]Token, error) {
	if !v.cfg.Convergent {
		return nil, errors.New("only a convergent vault can be searched")
	}
	if err := v.checkScope(scope); err != nil {
		return nil, err
	}
	w, err := v.want(value)
	if err != nil {
		return nil, err
	}
	defer clear(w.normalized)
	keys, err := v.keys.Live(ctx, scope)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return []Token{}, nil
	}
	setTags(keys, []*wanted{w})
	if _, err := v.find(ctx, []*wanted{w}, scope); err != nil {
		return nil, err
	}
	if w.token == "" {
		return []Token{}, nil
	}
	return []Token{w.token}, nil
}
