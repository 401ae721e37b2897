package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// The tests in this file edit rows of the store as somebody with write access
// to the table could, for a process that starts afterwards and for one that has
// the keys in memory.

// tampering is a keyring with two scopes, each with two keys of two purposes.
func tampering(t *testing.T) (*fixture, *keyring.Keyring) {
	f := newFixture()
	f.cfg.Scoped = true
	kr := f.create(t)
	for _, scope := range []string{"a", "b"} {
		for _, p := range []keyring.Purpose{keyring.Encryption, keyring.Masking} {
			_, err := use(kr, p).encrypt(scope)
			require.NoError(t, err)
			_, err = kr.Rotate(t.Context(), keyring.Target{Scope: scope, Purpose: p}, now)
			require.NoError(t, err)
		}
	}
	return f, kr
}

// keyEdits are single changes of a key's row.
func keyEdits(k keyring.Key, others []keyring.Key) map[string]func(*keyring.Key) {
	edits := map[string]func(*keyring.Key){
		"algorithm": func(k *keyring.Key) {
			k.Algorithm = map[keyring.Algorithm]keyring.Algorithm{keyring.XAES256GCM: keyring.AES256GCM}[k.Algorithm] + ""
		},
		"created_at":             func(k *keyring.Key) { k.CreatedAt = k.CreatedAt.Add(time.Microsecond) },
		"activate_at later":      func(k *keyring.Key) { k.ActivateAt = k.ActivateAt.Add(time.Hour) },
		"activate_at earlier":    func(k *keyring.Key) { k.ActivateAt = k.ActivateAt.Add(-time.Microsecond) },
		"state suspended":        func(k *keyring.Key) { k.State = keyring.KeySuspended },
		"state compromised":      func(k *keyring.Key) { k.State = keyring.KeyCompromised },
		"state destroyed":        func(k *keyring.Key) { k.State = keyring.KeyDestroyed },
		"state made up":          func(k *keyring.Key) { k.State = "fine" },
		"destroyed and emptied":  func(k *keyring.Key) { k.State, k.Wrapped = keyring.KeyDestroyed, nil },
		"version":                func(k *keyring.Key) { k.Version += 10 },
		"id":                     func(k *keyring.Key) { k.ID ^= 1 },
		"root":                   func(k *keyring.Key) { k.Root ^= 1 },
		"wrapped empty":          func(k *keyring.Key) { k.Wrapped = nil },
		"wrapped longer":         func(k *keyring.Key) { k.Wrapped = append(bytes.Clone(k.Wrapped), 0) },
		"created_at, revision":   func(k *keyring.Key) { k.CreatedAt = k.CreatedAt.Add(time.Microsecond); k.Revision++ },
		"suspended, revision":    func(k *keyring.Key) { k.State = keyring.KeySuspended; k.Revision++ },
		"wrapped zero, revision": func(k *keyring.Key) { k.Wrapped = make([]byte, len(k.Wrapped)); k.Revision++ },
	}
	if k.Algorithm == "" {
		edits["algorithm"] = func(k *keyring.Key) { k.Algorithm = keyring.AES256GCM }
	}
	for i := range k.Wrapped {
		edits[fmt.Sprint("wrapped byte ", i)] = func(k *keyring.Key) { k.Wrapped = bytes.Clone(k.Wrapped); k.Wrapped[i] ^= 1 }
		if i > 0 {
			edits[fmt.Sprint("wrapped cut to ", i)] = func(k *keyring.Key) { k.Wrapped = bytes.Clone(k.Wrapped[:i]) }
		}
	}
	for i, o := range others {
		edits[fmt.Sprintf("the wrapped key of %s/%s/%d", o.Scope, o.Purpose, o.Version)] = func(k *keyring.Key) { k.Wrapped = o.Wrapped }
		if o.Scope == k.Scope && o.Purpose == k.Purpose {
			continue // no store takes the same id twice, and the real one would be found
		}
		edits[fmt.Sprintf("all of %d but its place", i)] = func(k *keyring.Key) {
			moved := o
			moved.Scope, moved.Purpose, moved.Version = k.Scope, k.Purpose, k.Version
			*k = moved
		}
	}
	return edits
}

func TestEditedKeyRows(t *testing.T) {
	f, _ := tampering(t)
	roots, rows := f.store.Snapshot()
	require.Len(t, rows, 8)
	tried := 0
	for i, row := range rows {
		if row.Scope != "a" {
			continue
		}
		others := append(append([]keyring.Key(nil), rows[:i]...), rows[i+1:]...)
		for name, edit := range keyEdits(row, others) {
			what := fmt.Sprintf("%s %s version %d: %s", row.Scope, row.Purpose, row.Version, name)
			target := keyring.Target{Scope: row.Scope, Purpose: row.Purpose}
			edited := row
			edit(&edited)
			f.store.Restore(roots, rows)

			// The process that has the keys. The control: all is well before.
			warm := f.open(t)
			u := use(warm, row.Purpose)
			require.NoError(t, u.decrypt("a", row.ID), what)
			u.mustEncrypt(t, "a")
			f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[i] = edited })
			err := warm.Refresh(t.Context())
			require.ErrorIs(t, err, keyring.ErrTampered, what)
			var about *keyring.KeyError
			require.ErrorAs(t, err, &about, what)
			require.Equal(t, "a", about.Scope, what)
			require.Contains(t, []keyring.KeyID{row.ID, edited.ID}, about.ID, what)
			require.NoError(t, u.decrypt("a", row.ID), "%s: a key in memory stays readable", what)
			if _, err = u.encrypt("a"); row.Version == 2 {
				require.ErrorIs(t, err, keyring.ErrTampered, what)
			} else {
				require.NoError(t, err, "%s: an older key than the active one does not matter", what)
			}
			require.Contains(t, f.log.String(), about.ID.String(), "%s: no alarm", what)

			// One that starts now.
			cold := f.open(t)
			_, err = cold.Keys(t.Context(), target)
			aboutKey(t, err, edited.ID, keyring.ErrTampered, what)
			u = use(cold, row.Purpose)
			err = u.decrypt("a", edited.ID)
			aboutKey(t, err, edited.ID, keyring.ErrTampered, what)
			if row.ID != edited.ID {
				aboutKey(t, u.decrypt("a", row.ID), row.ID, keyring.ErrUnknownKey, what)
			}
			_, err = u.encrypt("a")
			if row.Version == 2 || edited.Version > 2 {
				aboutKey(t, err, edited.ID, keyring.ErrTampered, what)
			} else if err != nil {
				require.ErrorIs(t, err, keyring.ErrTampered, what)
			}
			_, err = use(cold, row.Purpose).encrypt("b")
			require.NoError(t, err, "%s: other scopes go on", what)
			tried++
			require.NoError(t, warm.Close())
			require.NoError(t, cold.Close())
		}
	}
	t.Logf("%d edits of key rows refused", tried)
}

// TestMovedKeyRows moves whole rows to another scope, purpose or keyring.
func TestMovedKeyRows(t *testing.T) {
	f, _ := tampering(t)
	roots, rows := f.store.Snapshot()
	other := *f
	other.cfg.Name = "other"
	other.create(t)
	for i, row := range rows {
		for name, move := range map[string]func(*keyring.Key){
			"scope":   func(k *keyring.Key) { k.Scope = "c" },
			"purpose": func(k *keyring.Key) { k.Purpose = keyring.Token },
			"keyring": func(k *keyring.Key) { k.Keyring = "other" },
		} {
			moved := row
			move(&moved)
			f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[i] = moved })
			cfg := f.cfg
			cfg.Name = moved.Keyring
			kr, err := keyring.Open(t.Context(), cfg)
			require.NoError(t, err)
			u := use(kr, moved.Purpose)
			err = u.decrypt(moved.Scope, moved.ID)
			require.ErrorIs(t, err, keyring.ErrTampered, name)
			var about *keyring.KeyError
			require.ErrorAs(t, err, &about, name)
			require.Equal(t, moved.ID, about.ID)
			_, err = u.encrypt(moved.Scope)
			require.ErrorIs(t, err, keyring.ErrTampered, name)
			require.NoError(t, kr.Close())
			f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[i] = row })
		}
	}
	f.store.Restore(roots, rows)
}

// TestRolledBackAndDeletedKeyRows shows a process what it has seen newer.
func TestRolledBackAndDeletedKeyRows(t *testing.T) {
	for name, edit := range map[string]func(keys *[]keyring.Key){
		"newest deleted": func(keys *[]keyring.Key) { *keys = (*keys)[:1] },
		"oldest deleted": func(keys *[]keyring.Key) { *keys = (*keys)[1:] },
		"all deleted":    func(keys *[]keyring.Key) { *keys = nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			kr := f.create(t)
			u := use(kr, keyring.Encryption)
			first := u.mustEncrypt(t, "")
			second := rotate(t, kr, encryption, now)
			f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { edit(keys) })
			require.ErrorIs(t, kr.Refresh(t.Context()), keyring.ErrTampered)
			require.NoError(t, u.decrypt("", first))
			require.NoError(t, u.decrypt("", second))
			id, err := u.encrypt("")
			if name == "oldest deleted" {
				require.NoError(t, err)
				require.Equal(t, second, id)
				return
			}
			require.ErrorIs(t, err, keyring.ErrTampered, "a key that vanished is not replaced by an older one or a new one")
		})
	}
	t.Run("lower revision", func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		u := use(kr, keyring.Encryption)
		id := u.mustEncrypt(t, "")
		f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[0].Revision = 0 })
		aboutKey(t, errors.Unwrap(kr.Refresh(t.Context())), id, keyring.ErrTampered)
		require.NoError(t, u.decrypt("", id))
		_, err := u.encrypt("")
		aboutKey(t, err, id, keyring.ErrTampered)
	})
}

// TestEditedRootRows changes root rows for a process that starts afterwards.
func TestEditedRootRows(t *testing.T) {
	f, _ := tampering(t)
	roots, rows := f.store.Snapshot()
	edits := map[string]func(*keyring.Root){
		"version":              func(r *keyring.Root) { r.Version += 10 },
		"id":                   func(r *keyring.Root) { r.ID ^= 1 },
		"created_at":           func(r *keyring.Root) { r.CreatedAt = r.CreatedAt.Add(time.Microsecond) },
		"check empty":          func(r *keyring.Root) { r.Check = nil },
		"another root's wraps": func(r *keyring.Root) { r.Wraps = roots[1].Wraps },
		"another root's check": func(r *keyring.Root) { r.Check = roots[1].Check },
		"no wraps":             func(r *keyring.Root) { r.Wraps = nil },
		"URI":                  func(r *keyring.Root) { r.Wraps = []keyring.Wrap{{URI: "elsewhere", Wrapped: r.Wraps[0].Wrapped}} },
	}
	for i := range roots[0].Check {
		edits[fmt.Sprint("check byte ", i)] = func(r *keyring.Root) { r.Check = bytes.Clone(r.Check); r.Check[i] ^= 1 }
	}
	for i := range roots[0].Wraps[0].Wrapped {
		edits[fmt.Sprint("wrap byte ", i)] = func(r *keyring.Root) {
			w := bytes.Clone(r.Wraps[0].Wrapped)
			w[i] ^= 1
			r.Wraps = []keyring.Wrap{{URI: r.Wraps[0].URI, Wrapped: w}}
		}
	}
	require.Equal(t, keyring.Encryption, roots[0].Purpose)
	for name, edit := range edits {
		f.store.Restore(roots, rows)
		f.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) { edit(&(*roots)[0]) })
		kr := f.open(t)
		u := use(kr, keyring.Encryption)
		err := u.decrypt("a", rows[0].ID)
		require.Error(t, err, name)
		var about *keyring.KeyError
		require.ErrorAs(t, err, &about, name)
		_, err = u.encrypt("a")
		require.Error(t, err, name)
		_, err = use(kr, keyring.Masking).encrypt("a")
		require.NoError(t, err, "%s: other purposes go on", name)
		require.NoError(t, kr.Close())
	}
	t.Logf("%d edits of root rows refused", len(edits))

	// Settings that differ from those of the other roots are refused at Open.
	f.store.Restore(roots, rows)
	f.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) { (*roots)[0].Settings.EncryptGrace++ })
	_, err := keyring.Open(t.Context(), f.cfg)
	require.ErrorIs(t, err, keyring.ErrTampered)
	// The same settings everywhere pass Open, and fail when a root is unwrapped.
	f.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) {
		for i := range *roots {
			(*roots)[i].Settings.PropagationDelay = 2 * minute
		}
		(*roots)[0].Settings.EncryptGrace--
	})
	kr := f.open(t)
	require.ErrorIs(t, use(kr, keyring.Encryption).decrypt("a", rows[0].ID), keyring.ErrTampered)
}
