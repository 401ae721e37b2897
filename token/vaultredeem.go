package token

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sealfield/sealfield/keyring"
)

// Detokenize returns the value of a token in a new slice that is not nil. It takes
// one of the token's uses, if those are limited, once the value is in its hands:
// an outage costs no use, unless it hides the store's answer. Of several calls for
// the last use one succeeds.
func (v *Vault) Detokenize(ctx context.Context, token Token, scope string) ([]byte, error) {
	values, err := v.DetokenizeAll(ctx, []Token{token}, scope)
	if err != nil {
		if b, ok := errors.AsType[*BatchError](err); ok {
			err = fmt.Errorf("token: vault %s: %w", v.name, b.Errs[0])
		}
		return nil, err
	}
	return values[0], nil
}

// DetokenizeAll is Detokenize for many tokens of one scope. The values stand in the
// order of tokens; those that could not be had are nil and the error is then a
// *BatchError that says why. A token that stands there twice is redeemed twice.
func (v *Vault) DetokenizeAll(ctx context.Context, tokens []Token, scope string) ([][]byte, error) {
	if err := v.checkScope(scope); err != nil {
		return nil, fmt.Errorf("token: vault %s: %w", v.name, err)
	}
	values, errs := make([][]byte, len(tokens)), make(map[int]error)
	var mu sync.Mutex // guards errs
	var p parallel
	for at := 0; at < len(tokens); at += vaultChunk {
		end := min(at+vaultChunk, len(tokens))
		p.run(func() {
			r := redemption{vault: v, scope: scope, values: values[at:end], errs: make(map[int]error)}
			r.redeem(ctx, tokens[at:end])
			mu.Lock()
			defer mu.Unlock()
			for i, err := range r.errs {
				errs[at+i] = err
			}
		})
	}
	p.wait()
	if len(errs) > 0 {
		return values, &BatchError{Vault: v.name, Errs: errs}
	}
	return values, nil
}

// BatchError says which tokens of a batch could not be redeemed. errors.Is and
// errors.As find the errors of all.
type BatchError struct {
	Vault string
	Errs  map[int]error // by position
}

func (e *BatchError) Error() string {
	first := -1
	for i := range e.Errs {
		if first < 0 || i < first {
			first = i
		}
	}
	return fmt.Sprintf("token: vault %s: %d tokens failed, first that at %d: %v", e.Vault, len(e.Errs), first, e.Errs[first])
}

func (e *BatchError) Unwrap() []error {
	var all []error
	for _, err := range e.Errs {
		all = append(all, err)
	}
	return all
}

// redemption is a piece of a call of DetokenizeAll.
type redemption struct {
	vault  *Vault
	scope  string
	values [][]byte
	errs   map[int]error
}

func (r *redemption) redeem(ctx context.Context, tokens []Token) {
	v := r.vault
	bodies := make([]body, len(tokens))
	positions := make(map[TokenHash][]int)
	var hashes []TokenHash
	for i, t := range tokens {
		b, err := v.parse(t)
		if err != nil {
			r.errs[i] = err
			continue
		}
		hash := t.hash()
		if positions[hash] == nil {
			hashes = append(hashes, hash)
		}
		bodies[i], positions[hash] = b, append(positions[hash], i)
	}
	if len(hashes) == 0 {
		return
	}
	rows, now, err := v.load(ctx, hashes)
	if err != nil {
		for _, is := range positions {
			for _, i := range is {
				r.errs[i] = err
			}
		}
		return
	}
	limited := make(map[TokenHash][]int)
	for hash, is := range positions {
		for _, i := range is {
			o, err := opened{}, error(ErrUnknown)
			if row := rows[hash]; row != nil {
				o, err = v.open(ctx, row, &bodies[i], r.scope, now)
			}
			switch {
			case err != nil:
				r.errs[i] = err
				continue
			case rows[hash].Uses > 0:
				limited[hash] = append(limited[hash], i)
			}
			r.values[i] = o.value
		}
	}
	for len(limited) > 0 {
		limited = r.use(ctx, limited)
	}
}

// use takes a use of each token for the first of its positions, and returns those
// with positions left.
func (r *redemption) use(ctx context.Context, limited map[TokenHash][]int) map[TokenHash][]int {
	var hashes []TokenHash
	for hash := range limited {
		hashes = append(hashes, hash)
	}
	v := r.vault
	used, err := v.cfg.Store.Use(ctx, v.kr.Name(), hashes)
	if err == nil && len(used) != len(hashes) {
		err = fmt.Errorf("%w: the store's answer is not complete", keyring.ErrUnavailable)
	}
	var refused []TokenHash
	for i, hash := range hashes {
		if err != nil || !used[i] {
			refused = append(refused, hash)
		}
	}
	var rows map[TokenHash]*VaultRow
	var now time.Time
	if err == nil && len(refused) > 0 {
		rows, now, err = v.load(ctx, refused)
	}
	for _, hash := range refused {
		why := err
		if why == nil {
			why = whyEnded(rows[hash], now)
		}
		for _, i := range limited[hash] {
			clear(r.values[i])
			r.values[i], r.errs[i] = nil, why
		}
		delete(limited, hash)
	}
	for hash, is := range limited {
		if len(is) == 1 {
			delete(limited, hash)
		} else {
			limited[hash] = is[1:]
		}
	}
	return limited
}

// whyEnded says why a token that was there a moment ago has no use left.
func whyEnded(row *VaultRow, now time.Time) error {
	if row == nil {
		return ErrUnknown
	}
	if err := row.ended(now); err != nil {
		return err
	}
	return ErrUsed
}

// parse returns the body of a token of this vault's kind.
func (v *Vault) parse(token Token) (body, error) {
	prefix, b, err := parse(token)
	if err == nil && prefix != v.cfg.Prefix {
		err = ErrKind
	}
	return b, err
}

func (v *Vault) load(ctx context.Context, hashes []TokenHash) (map[TokenHash]*VaultRow, time.Time, error) {
	loaded, err := told(v.cfg.Store.Load(ctx, v.kr.Name(), hashes))
	if err != nil {
		return nil, time.Time{}, err
	}
	rows := make(map[TokenHash]*VaultRow, len(loaded.Rows))
	for i := range loaded.Rows {
		rows[loaded.Rows[i].Hash] = &loaded.Rows[i]
	}
	return rows, loaded.Now, nil
}
