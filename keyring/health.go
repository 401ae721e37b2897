package keyring

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Health is what a keyring knows of itself at one moment, for probes and
// operators. It can be encoded as JSON (durations are nanoseconds there) and
// holds no secret.
type Health struct {
	Keyring string

	// Age is the time since the store was last read in full, RefreshError
	// what the last attempt ended with, if not well: rows that were refused,
	// or a store out of reach.
	Age          time.Duration
	RefreshError string `json:",omitempty"`

	// Watching says that the store tells of changes; otherwise they are
	// noticed at the next refresh.
	Watching bool

	Purposes []PurposeHealth
	KMS      []KMSHealth
	Roots    []RootHealth // of all purposes and versions

	// Refused are the keys in memory that may not be used as their state
	// would allow, and why: rows that were edited or vanished, root keys
	// that can not be unwrapped. After the first 100 it says how many more.
	Refused []string `json:",omitempty"`

	// Missing are the keys in memory that vanished from the store without a
	// tombstone, as after a restore from an older backup. They decrypt as
	// long as this process lives: bring their rows back before it ends.
	Missing []KeyInfo `json:",omitempty"`

	err error
}

// PurposeHealth is what keys in memory may be used for: the graces of a
// purpose end when the store, or the KMS, has been out of reach for that long.
type PurposeHealth struct {
	Purpose  Purpose
	Encrypts bool
	Decrypts bool
}

// KMSHealth is how the last call of a KMS of the Config ended.
type KMSHealth struct {
	URI      string
	Purposes []Purpose
	Error    string        `json:",omitempty"` // of the last call; empty if it succeeded or there was none
	Failures int           `json:",omitempty"` // in a row
	Since    time.Duration `json:",omitempty"` // the last failure
}

// RootHealth describes a version of a root key.
type RootHealth struct {
	Purpose   Purpose
	Version   int
	ID        string // 8 hex digits
	State     RootState
	CreatedAt time.Time
	Wraps     []string      // the URIs of the KMSs that have wrapped it
	Missing   []string      `json:",omitempty"` // of those that should have: of this Config, or recorded as missing
	Unwrapped bool          // it is in memory
	Age       time.Duration `json:",omitempty"` // since a KMS last gave it
	Error     string        `json:",omitempty"` // of the last attempt to unwrap it
}

// Err returns nil if the keyring can serve: the answer for a readiness probe.
// Otherwise it is an ErrStale or ErrClosed that names the purposes. What else
// the Health holds (missing wraps, a KMS that fails, refused rows) needs an
// operator, but not a restart. Of purposes that this process has not used yet it
// knows nothing: a program that must not start without its KMS calls Preload.
func (h Health) Err() error { return h.err }

// Health returns the state of the keyring. It takes no I/O and waits for none,
// so that a probe may call it as often as it likes.
func (kr *Keyring) Health() Health {
	now := kr.mono()
	kr.mu.Lock()
	h := Health{Keyring: kr.name, Age: now - kr.refreshed, RefreshError: text(kr.refusal), Watching: kr.watching}
	kr.mu.Unlock()
	var stale []Purpose
	for i, p := range purposes {
		s := kr.staleness[i].Load()
		h.Purposes = append(h.Purposes, PurposeHealth{p, s == fresh, s < decryptStale})
		if s != fresh {
			stale = append(stale, p)
		}
	}
	switch {
	case kr.isClosed():
		h.err = fmt.Errorf("keyring: %s: %w", kr.name, ErrClosed)
	case stale != nil:
		h.err = fmt.Errorf("keyring: %s: %w: purposes %v", kr.name, ErrStale, stale)
	}
	h.KMS = kr.kmsHealth(now)
	for _, r := range kr.roots.all() {
		h.Roots = append(h.Roots, kr.rootHealth(r, now))
	}
	more := 0
	for _, e := range kr.entries() {
		s := e.keys.Load()
		for _, k := range s.keys {
			switch err := k.bad(); {
			case err == nil:
			case len(h.Refused) < 100:
				h.Refused = append(h.Refused, err.Error())
			default:
				more++
			}
			if errors.Is(k.doubt, ErrVanished) {
				h.Missing = append(h.Missing, kr.info(s, k))
			}
		}
	}
	if more > 0 {
		h.Refused = append(h.Refused, andMore(more))
	}
	return h
}

func (kr *Keyring) kmsHealth(now time.Duration) (all []KMSHealth) {
	for _, p := range purposes {
		for _, k := range kr.keks[p] {
			if i := slices.IndexFunc(all, func(h KMSHealth) bool { return h.URI == k.URI() }); i >= 0 {
				all[i].Purposes = append(all[i].Purposes, p)
				continue
			}
			h := KMSHealth{URI: k.URI(), Purposes: []Purpose{p}}
			k.mu.Lock()
			if k.failed != nil {
				h.Error, h.Failures, h.Since = k.failed.Error(), k.failures, now-k.failedAt
			}
			k.mu.Unlock()
			all = append(all, h)
		}
	}
	return all
}

func (kr *Keyring) rootHealth(r root, now time.Duration) RootHealth {
	h := RootHealth{Purpose: r.row.Purpose, Version: r.row.Version, ID: r.row.ID.String(), State: r.row.State, CreatedAt: r.row.CreatedAt,
		Wraps: wrappedBy(r.row.Wraps), Unwrapped: r.key != nil, Error: text(r.failed)}
	if h.State == RootDestroyed {
		return h
	}
	for _, uri := range slices.Concat(uris(r.row.Wraps), kekURIs(kr.keks[r.row.Purpose])) {
		if !slices.Contains(h.Wraps, uri) && !slices.Contains(h.Missing, uri) {
			h.Missing = append(h.Missing, uri)
		}
	}
	if h.Unwrapped {
		h.Age = now - r.proven
	}
	return h
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
