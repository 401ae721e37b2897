package token

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sealfield/sealfield/keyring"
)

// NewMemoryVaultStore returns a VaultStore that lives and dies with the process.
// It is meant for tests: the values of its tokens are lost with it.
func NewMemoryVaultStore() VaultStore {
	return &memoryVault{rows: make(map[vaultKey]*memoryToken), tags: make(map[vaultTag]*memoryToken)}
}

type vaultKey struct {
	keyring string
	hash    TokenHash
}

type vaultTag struct{ keyring, tag string }

type memoryToken struct {
	VaultRow
	endedAt time.Time
}

type memoryVault struct {
	mu   sync.Mutex
	rows map[vaultKey]*memoryToken
	tags map[vaultTag]*memoryToken // those that were taken, until another token takes them or theirs ends
}

// do calls f with the store's clock, while no other call runs.
func (s *memoryVault) do(ctx context.Context, f func(now time.Time)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	f(wholeMicros(time.Now()))
	return nil
}

func (s *memoryVault) Load(ctx context.Context, keyring string, hashes []TokenHash) (found VaultRows, err error) {
	err = s.do(ctx, func(now time.Time) {
		found.Now = now
		for _, h := range hashes {
			if t := s.rows[vaultKey{keyring, h}]; t != nil {
				found.Rows = append(found.Rows, t.row(nil))
			}
		}
	})
	return found, err
}

func (s *memoryVault) Find(ctx context.Context, keyring string, tags [][]byte) (found VaultRows, err error) {
	err = s.do(ctx, func(now time.Time) {
		found.Now = now
		for _, tag := range tags {
			if t := s.tags[vaultTag{keyring, string(tag)}]; t != nil && t.lives(now) {
				found.Rows = append(found.Rows, t.row([][]byte{tag}))
			}
		}
	})
	return found, err
}

func (s *memoryVault) Insert(ctx context.Context, rows []VaultRow) (inserted []bool, err error) {
	conflict := false
	err = s.do(ctx, func(now time.Time) {
		for _, r := range rows {
			if s.rows[vaultKey{r.Keyring, r.Hash}] != nil {
				conflict = true
				return
			}
		}
		inserted = make([]bool, len(rows))
		for i, r := range rows {
			inserted[i] = !slices.ContainsFunc(r.Tags, func(tag []byte) bool {
				t := s.tags[vaultTag{r.Keyring, string(tag)}]
				return t != nil && t.lives(now)
			})
			if inserted[i] {
				s.insert(r)
			}
		}
	})
	if conflict {
		return nil, keyring.ErrConflict
	}
	return inserted, err
}

func (s *memoryVault) insert(r VaultRow) {
	t := &memoryToken{VaultRow: r}
	t.VaultRow = t.row(r.Tags)
	t.UsesLeft = r.Uses
	if !r.ExpiresAt.IsZero() {
		t.ExpiresAt = wholeMicros(r.ExpiresAt)
	}
	s.rows[vaultKey{r.Keyring, r.Hash}] = t
	for _, tag := range r.Tags {
		s.tags[vaultTag{r.Keyring, string(tag)}] = t
	}
}

func (s *memoryVault) Use(ctx context.Context, keyring string, hashes []TokenHash) (used []bool, err error) {
	err = s.do(ctx, func(now time.Time) {
		used = make([]bool, len(hashes))
		for i, h := range hashes {
			t := s.rows[vaultKey{keyring, h}]
			if t == nil || !t.lives(now) || t.UsesLeft == 0 {
				continue
			}
			used[i] = true
			if t.UsesLeft--; t.UsesLeft == 0 {
				s.end(t, EndedUsed, now)
			}
		}
	})
	return used, err
}

func (s *memoryVault) Revoke(ctx context.Context, keyring string, hash TokenHash) error {
	return s.do(ctx, func(now time.Time) {
		if t := s.rows[vaultKey{keyring, hash}]; t != nil && t.Ended == "" {
			s.end(t, EndedRevoked, now)
		}
	})
}

func (s *memoryVault) Purge(ctx context.Context, keyring, vault string, keep time.Duration) (p Purged, err error) {
	err = s.do(ctx, func(now time.Time) {
		for key, t := range s.rows {
			if t.Keyring != keyring || t.Vault != vault {
				continue
			}
			if t.Ended == "" && !t.lives(now) {
				s.end(t, EndedExpired, t.ExpiresAt)
				p.Erased++
			}
			if t.Ended != "" && now.Sub(t.endedAt) > keep {
				delete(s.rows, key)
				p.Removed++
			}
		}
	})
	return p, err
}

func (t *memoryToken) lives(now time.Time) bool {
	return t.Ended == "" && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

func (s *memoryVault) end(t *memoryToken, how Ending, at time.Time) {
	for _, tag := range t.Tags {
		if key := (vaultTag{t.Keyring, string(tag)}); s.tags[key] == t {
			delete(s.tags, key)
		}
	}
	t.Ended, t.endedAt, t.Sealed, t.Tags = how, at, nil, nil
}

// row returns a copy with these tags.
func (t *memoryToken) row(tags [][]byte) VaultRow {
	r := t.VaultRow
	r.Sealed, r.Tags = bytes.Clone(r.Sealed), slices.Clone(tags)
	for i, tag := range r.Tags {
		r.Tags[i] = bytes.Clone(tag)
	}
	return r
}

func wholeMicros(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }
