package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// tampering is one way to change the rows of the store, and what is expected of
// it. The victim is the newest key of scope a; there is an older one.
type tampering struct {
	name string
	edit func(roots *[]keyring.Root, keys *[]keyring.Key)

	decrypt error // in a process that has just started: of the victim's values
	encrypt error // and what Encrypt says there; nil if it can not be seen
	warm    error // what Encrypt says in a process that had loaded the rows
	refresh error // and Refresh
}

// world is two scoped keyrings on one store and KMS, each with two scopes, each
// with keys of two purposes, each of two versions.
type world struct {
	*fixture
	warm   *keyring.Keyring
	roots  []keyring.Root
	keys   []keyring.Key
	target keyring.Target
	old    keyring.Key
}

func newWorld(t *testing.T) *world {
	w := &world{fixture: newFixture(), target: keyring.Target{Scope: "a", Purpose: keyring.Encryption}}
	w.cfg.Scoped = true
	for _, name := range []string{"other", "test"} {
		w.cfg.Name = name
		w.warm = w.create(t)
		for _, scope := range []string{"a", "b"} {
			for _, p := range []keyring.Purpose{keyring.Encryption, keyring.Index} {
				use(w.warm, p).mustEncrypt(t, scope)
				if p == keyring.Encryption {
					rotate(t, w.warm, keyring.Target{Scope: scope, Purpose: p}, keyring.RotateOptions{Immediate: true})
				}
			}
		}
	}
	w.roots, w.keys = w.store.Snapshot()
	w.old = w.key("test", "a", keyring.Encryption, 1)
	return w
}

func (w *world) index(name, scope string, p keyring.Purpose, version int) int {
	return slices.IndexFunc(w.keys, func(k keyring.Key) bool {
		return k.Keyring == name && k.Scope == scope && k.Purpose == p && k.Version == version
	})
}

func (w *world) key(name, scope string, p keyring.Purpose, version int) keyring.Key {
	return w.keys[w.index(name, scope, p, version)]
}

func (w *world) rootIndex(name string, p keyring.Purpose) int {
	return slices.IndexFunc(w.roots, func(r keyring.Root) bool { return r.Keyring == name && r.Purpose == p })
}

// TestTamperedKeys edits every field of a key's row, every byte of its wrapped
// DEK, and swaps it with others.
func TestTamperedKeys(t *testing.T) {
	w := newWorld(t)
	victim := w.index("test", "a", keyring.Encryption, 2)
	id := w.keys[victim].ID
	bad := keyring.ErrTampered
	var all []tampering
	edit := func(name string, f func(k *keyring.Key)) *tampering {
		all = append(all, tampering{name, func(_ *[]keyring.Root, keys *[]keyring.Key) { f(&(*keys)[victim]) }, bad, bad, bad, bad})
		return &all[len(all)-1]
	}
	// A row that is not found any more is as if deleted: its values are of an
	// unknown key, and a process that has just started can not know that it
	// was there.
	gone := func(x *tampering) { x.decrypt, x.encrypt = keyring.ErrUnknownKey, nil }

	gone(edit("keyring", func(k *keyring.Key) { k.Keyring = "other" }))
	gone(edit("scope", func(k *keyring.Key) { k.Scope = "b" }))
	gone(edit("scope empty", func(k *keyring.Key) { k.Scope = "" }))
	gone(edit("purpose", func(k *keyring.Key) { k.Purpose = keyring.Index }))
	gone(edit("purpose unknown", func(k *keyring.Key) { k.Purpose = "signing" }))
	for _, v := range []int{-1, 0, 1, 3, 1 << 30} {
		edit(fmt.Sprint("version ", v), func(k *keyring.Key) { k.Version = v })
	}
	edit("id", func(k *keyring.Key) { k.ID ^= 1 }).decrypt = keyring.ErrUnknownKey
	edit("id without its high bit", func(k *keyring.Key) { k.ID &= 0x7fffffff }).decrypt = keyring.ErrUnknownKey
	for _, a := range []keyring.Algorithm{keyring.AES256GCM, "", "XAES-256-GCM ", "ROT13"} {
		edit("algorithm "+string(a), func(k *keyring.Key) { k.Algorithm = a })
	}
	for _, s := range []keyring.KeyState{keyring.KeySuspended, keyring.KeyCompromised, keyring.KeyDestroyed, "", "new"} {
		edit("state "+string(s), func(k *keyring.Key) { k.State = s })
	}
	for _, d := range []time.Duration{time.Microsecond, -time.Microsecond, time.Hour, -time.Hour} {
		edit(fmt.Sprint("created ", d), func(k *keyring.Key) { k.CreatedAt = k.CreatedAt.Add(d) })
		edit(fmt.Sprint("activate ", d), func(k *keyring.Key) { k.ActivateAt = k.ActivateAt.Add(d) })
	}
	for name, p := range map[string]keyring.Purpose{"index": keyring.Index, "masking": keyring.Masking} {
		edit("root of "+name, func(k *keyring.Key) { k.Root = w.roots[w.rootIndex("test", p)].ID })
	}
	edit("root of the other keyring", func(k *keyring.Key) { k.Root = w.roots[w.rootIndex("other", keyring.Encryption)].ID })
	edit("no root", func(k *keyring.Key) { k.Root = 0 })
	for i := range w.keys[victim].Wrapped {
		edit(fmt.Sprint("wrapped byte ", i), func(k *keyring.Key) { k.Wrapped[i] ^= 0x10 })
		edit(fmt.Sprint("wrapped cut to ", i), func(k *keyring.Key) { k.Wrapped = k.Wrapped[:i] })
	}
	edit("wrapped longer", func(k *keyring.Key) { k.Wrapped = append(k.Wrapped, 0) })
	for name, other := range map[string]keyring.Key{
		"scope": w.key("test", "b", keyring.Encryption, 2), "purpose": w.key("test", "a", keyring.Index, 1),
		"keyring": w.key("other", "a", keyring.Encryption, 2), "version": w.old,
	} {
		edit("wrapped of another "+name, func(k *keyring.Key) { k.Wrapped = bytes.Clone(other.Wrapped) })
		edit("wrapped and root of another "+name, func(k *keyring.Key) { k.Wrapped, k.Root = bytes.Clone(other.Wrapped), other.Root })
		edit("the row of another "+name+" in its place", func(k *keyring.Key) {
			moved := other
			moved.Keyring, moved.Scope, moved.Purpose, moved.Version = k.Keyring, k.Scope, k.Purpose, k.Version
			*k = moved
		}).decrypt = keyring.ErrUnknownKey
	}
	all = append(all, tampering{"deleted", func(_ *[]keyring.Root, keys *[]keyring.Key) {
		*keys = slices.Delete(*keys, victim, victim+1)
	}, keyring.ErrUnknownKey, nil, bad, bad})
	for _, r := range []int64{-1, 0, 2, 9} {
		edit(fmt.Sprint("revision ", r), func(k *keyring.Key) { k.Revision = r })
	}
	// All of it once more with a higher revision, as a change of state has.
	for _, x := range all[:len(all)-5] {
		change := x.edit
		x.name += ", revision"
		x.edit = func(roots *[]keyring.Root, keys *[]keyring.Key) { change(roots, keys); (*keys)[victim].Revision++ }
		all = append(all, x)
	}

	unseen := w.run(t, all, id)
	t.Logf("%d tamperings with a key's row; Encrypt of a process that has just started can not see %d: %q", len(all), len(unseen), unseen)
	require.Len(t, unseen, 11)
}

// TestTamperedRoots does the same to the row of the root that wraps the key.
// The DEKs in memory of a warm process are proven and go on to work; what it
// says is found by Refresh.
func TestTamperedRoots(t *testing.T) {
	w := newWorld(t)
	victim, index := w.rootIndex("test", keyring.Encryption), w.rootIndex("test", keyring.Index)
	bad := keyring.ErrTampered
	var all []tampering
	edit := func(name string, f func(r *keyring.Root)) *tampering {
		all = append(all, tampering{name, func(roots *[]keyring.Root, _ *[]keyring.Key) { f(&(*roots)[victim]) }, bad, bad, nil, bad})
		return &all[len(all)-1]
	}
	edit("keyring", func(r *keyring.Root) { r.Keyring = "other" })
	edit("purpose", func(r *keyring.Root) { r.Purpose = keyring.Masking })
	edit("purpose unknown", func(r *keyring.Root) { r.Purpose = "signing" })
	edit("version", func(r *keyring.Root) { r.Version = 2 })
	edit("id", func(r *keyring.Root) { r.ID ^= 1 })
	for _, d := range []time.Duration{time.Microsecond, -time.Hour} {
		edit(fmt.Sprint("created ", d), func(r *keyring.Root) { r.CreatedAt = r.CreatedAt.Add(d) })
	}
	edit("scoped", func(r *keyring.Root) { r.Settings.Scoped = false })
	edit("propagation delay", func(r *keyring.Root) { r.Settings.PropagationDelay-- })
	edit("encrypt grace", func(r *keyring.Root) { r.Settings.EncryptGrace += time.Hour })
	edit("decrypt grace", func(r *keyring.Root) { r.Settings.DecryptGrace += time.Hour })
	for i := range w.roots[victim].Check {
		edit(fmt.Sprint("check byte ", i), func(r *keyring.Root) { r.Check[i] ^= 0x80 })
	}
	edit("check empty", func(r *keyring.Root) { r.Check = nil })
	edit("check of another", func(r *keyring.Root) { r.Check = bytes.Clone(w.roots[index].Check) })
	// A wrapped root is authenticated by the KMS, which says that it will not.
	// No process that has the key needs it.
	denied := func(x *tampering) { x.decrypt, x.encrypt, x.refresh = keyring.ErrDenied, keyring.ErrDenied, nil }
	for i := range w.roots[victim].Wraps[0].Wrapped {
		denied(edit(fmt.Sprint("wrap byte ", i), func(r *keyring.Root) { r.Wraps[0].Wrapped[i] ^= 0x01 }))
	}
	for name, other := range map[string]int{"purpose": index, "keyring": w.rootIndex("other", keyring.Encryption)} {
		denied(edit("wrap of another "+name, func(r *keyring.Root) { r.Wraps[0].Wrapped = bytes.Clone(w.roots[other].Wraps[0].Wrapped) }))
	}
	// A URI is a label: with a wrong one there is nothing for our KMS. An empty
	// wrap is one that is missing.
	for name, f := range map[string]func(r *keyring.Root){
		"URI": func(r *keyring.Root) { r.Wraps[0].URI = "attacker:key" }, "no wraps": func(r *keyring.Root) { r.Wraps = nil },
		"wrap empty": func(r *keyring.Root) { r.Wraps[0].Wrapped = nil },
	} {
		x := edit(name, f)
		x.decrypt, x.encrypt, x.refresh = keyring.ErrNoKMS, keyring.ErrNoKMS, nil
	}
	// Not authenticated, and harmless: they only ever withhold.
	for name, f := range map[string]func(r *keyring.Root){
		"revision": func(r *keyring.Root) { r.Revision = 5 }, "state": func(r *keyring.Root) { r.State = keyring.RootClosed },
		"a wrap more": func(r *keyring.Root) {
			r.Wraps = append(r.Wraps, keyring.Wrap{URI: "attacker:key", Wrapped: []byte("x")})
		},
	} {
		x := edit(name, f)
		*x = tampering{name: x.name, edit: x.edit}
	}
	all = append(all, tampering{"deleted", func(roots *[]keyring.Root, _ *[]keyring.Key) {
		*roots = slices.Delete(*roots, victim, victim+1)
	}, bad, bad, nil, bad}, tampering{"swapped with index", func(roots *[]keyring.Root, _ *[]keyring.Key) {
		a, b := &(*roots)[victim], &(*roots)[index]
		a.Purpose, b.Purpose = b.Purpose, a.Purpose
	}, bad, bad, nil, bad})
	unseen := w.run(t, all, w.key("test", "a", keyring.Encryption, 2).ID)
	t.Logf("%d tamperings with a root's row; %d change nothing: %q", len(all), len(unseen), unseen)
	require.Len(t, unseen, 3)
}

// run returns the names of those that Encrypt can not see.
func (w *world) run(t *testing.T, all []tampering, id keyring.KeyID) (unseen []string) {
	for _, x := range all {
		w.store.Restore(w.roots, w.keys)
		warm, err := keyring.Open(t.Context(), w.cfg)
		require.NoError(t, err)
		k := use(warm, keyring.Encryption)
		require.Equal(t, id, k.mustEncrypt(t, "a"), "control")
		require.NoError(t, k.decrypt("a", w.old.ID), "control")
		w.store.Edit(x.edit)

		// Warm: reads go on, and the row is named.
		err = warm.Refresh(t.Context())
		w.expect(t, x.name+": Refresh", err, x.refresh)
		require.NoError(t, k.decrypt("a", id), x.name)
		require.NoError(t, k.decrypt("a", w.old.ID), x.name)
		got, err := k.encrypt("a")
		w.expect(t, x.name+": warm Encrypt", err, x.warm)
		if err == nil {
			require.Equal(t, id, got, x.name)
		}
		_, err = use(warm, keyring.Token).encrypt("new")
		require.NoError(t, err, "%s: other purposes go on", x.name)
		require.NoError(t, warm.Close())

		// Just started.
		kr, err := keyring.Open(t.Context(), w.cfg)
		if err != nil {
			w.expect(t, x.name+": Open", err, x.decrypt)
			require.ErrorIs(t, err, keyring.ErrTampered, x.name)
			continue
		}
		k = use(kr, keyring.Encryption)
		err = k.decrypt("a", id)
		w.expect(t, x.name+": Decrypt", err, x.decrypt)
		if about := new(keyring.KeyError); errors.As(err, &about) {
			// With a root that is refused go all keys under it.
			require.Contains(t, []keyring.KeyID{id, w.old.ID}, about.ID, x.name)
			require.Equal(t, w.target, keyring.Target{Scope: about.Scope, Purpose: about.Purpose}, x.name)
		}
		if x.decrypt == nil {
			require.NoError(t, k.decrypt("a", id), x.name)
		}
		got, err = k.encrypt("a")
		w.expect(t, x.name+": Encrypt", err, x.encrypt)
		if x.encrypt == nil {
			unseen = append(unseen, x.name)
		} else {
			require.Zero(t, got)
		}
		use(kr, keyring.Token).mustEncrypt(t, "new")
		use(kr, keyring.Token).mustEncrypt(t, "newer")
		require.NoError(t, kr.Close())
	}
	return unseen
}

// expect requires that err is want and names a key of the keyring.
func (w *world) expect(t *testing.T, what string, err, want error) {
	t.Helper()
	if want == nil {
		require.NoError(t, err, what)
		return
	}
	require.ErrorIs(t, err, want, what)
	var about *keyring.KeyError
	require.ErrorAs(t, err, &about, what)
	require.NotZero(t, about.Purpose, what)
}

// TestMovedRowsAreRefusedThere looks from the other end: in the place to which a
// row was moved or copied, it is refused by name.
func TestMovedRowsAreRefusedThere(t *testing.T) {
	w := newWorld(t)
	row := w.key("test", "a", keyring.Encryption, 2)
	for name, place := range map[string]keyring.Target{
		"scope": {Scope: "b", Purpose: keyring.Encryption}, "new scope": {Scope: "c", Purpose: keyring.Encryption},
		"purpose": {Scope: "a", Purpose: keyring.Index}, "new purpose": {Scope: "a", Purpose: keyring.Token},
	} {
		w.store.Restore(w.roots, w.keys)
		w.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) {
			moved := row
			moved.Scope, moved.Purpose, moved.Version = place.Scope, place.Purpose, 3
			*keys = append(*keys, moved)
		})
		k := use(w.open(t), place.Purpose)
		aboutKey(t, k.decrypt(place.Scope, row.ID), row.ID, keyring.ErrTampered, name)
		_, err := k.encrypt(place.Scope)
		aboutKey(t, err, row.ID, keyring.ErrTampered, name)
		_, err = k.Live(t.Context(), place.Scope)
		aboutKey(t, err, row.ID, keyring.ErrTampered, name)
		require.Contains(t, w.log.String(), "level=ERROR")
		require.Contains(t, w.log.String(), row.ID.String())
	}
}

// TestRollback puts back a genuine older revision of a row, as it was, or with a
// revision that is higher than any. A process that has seen the newer one refuses
// both; one that has just started can only know that the latter was never written.
func TestRollback(t *testing.T) {
	for _, saw := range []string{"both", "the newer one"} {
		for _, revision := range []int64{1, 9} {
			f := newFixture()
			warm := f.create(t)
			id := use(warm, keyring.Encryption).mustEncrypt(t, "")
			roots, before := f.store.Snapshot()
			require.NoError(t, warm.Suspend(t.Context(), encryption, id))
			if saw == "the newer one" {
				warm = f.open(t)
			}
			aboutKey(t, use(warm, keyring.Encryption).decrypt("", id), id, keyring.ErrSuspended)

			before[0].Revision = revision
			f.store.Restore(roots, before)
			time.Sleep(time.Millisecond)
			aboutKey(t, warm.Refresh(t.Context()), id, keyring.ErrTampered)
			aboutKey(t, use(warm, keyring.Encryption).decrypt("", id), id, keyring.ErrSuspended)
			_, err := use(warm, keyring.Encryption).encrypt("")
			aboutKey(t, err, id, keyring.ErrTampered)
			err = use(f.open(t), keyring.Encryption).decrypt("", id)
			if revision == 1 {
				require.NoError(t, err, "the limit that the package doc names")
			} else {
				aboutKey(t, err, id, keyring.ErrTampered)
			}
		}
	}
}

// TestRollbackOfRoots puts a key's row from before a RotateRoot back, with a higher
// revision: who knows the key under the newer root refuses it.
func TestRollbackOfRoots(t *testing.T) {
	w := newRootWorld(t, 1)
	_, before := w.store.Snapshot()
	done, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	w.check(t, w.kr)
	id := before[0].ID
	w.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) {
		(*keys)[0] = before[0]
		(*keys)[0].Revision = 9
	})
	time.Sleep(time.Millisecond)
	aboutKey(t, w.kr.Refresh(t.Context()), id, keyring.ErrTampered)
	require.NoError(t, use(w.kr, keyring.Encryption).decrypt("scope 0", id))
	_, err = w.kr.RotateRoot(t.Context(), keyring.Encryption)
	aboutKey(t, err, id, keyring.ErrTampered, "it is not moved either")
	aboutKey(t, w.kr.DestroyRoot(t.Context(), before[0].Root), before[0].Root, keyring.ErrInUse)
	require.NotEqual(t, before[0].Root, done.Root)
}

// TestManyRefusedRows edits every row of the store: errors, the log and Health name
// some and count the rest.
func TestManyRefusedRows(t *testing.T) {
	const scopes = 1500
	f := newFixture()
	f.cfg.Scoped = true
	kr := f.create(t)
	var names []string
	for i := range scopes {
		names = append(names, fmt.Sprint("scope ", i))
	}
	require.NoError(t, keyring.InsertMany(t.Context(), kr, keyring.Encryption, names))
	require.NoError(t, kr.Preload(t.Context(), keyring.Encryption, names...))
	f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) {
		for i := range *keys {
			(*keys)[i].State = keyring.KeySuspended
		}
	})
	time.Sleep(time.Millisecond)
	_, moved := kr.RotateRoot(t.Context(), keyring.Encryption)
	for what, err := range map[string]error{
		"Refresh": kr.Refresh(t.Context()), "Preload": f.open(t).Preload(t.Context(), keyring.Encryption, names...), "RotateRoot": moved,
	} {
		require.ErrorIs(t, err, keyring.ErrTampered, what)
		require.Equal(t, 20, strings.Count(err.Error(), `scope "scope `), what)
		require.ErrorContains(t, err, "and 1480 more", what)
	}
	require.Equal(t, 200, strings.Count(f.log.String(), "key refused"), "100 by each process")
	require.Contains(t, f.log.String(), `msg="sealfield: more keys refused" keyring=test keys=1400`)
	h := kr.Health()
	require.Len(t, h.Refused, 101)
	require.Equal(t, "and 1400 more", h.Refused[100])
	require.Less(t, len(h.RefreshError), 5_000)
}

// TestEditedOlderRow edits the row of a retired key. The newest one's version is
// proven and nothing is missing, so it goes on to encrypt.
func TestEditedOlderRow(t *testing.T) {
	w := newWorld(t)
	w.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) {
		(*keys)[w.index("test", "a", keyring.Encryption, 1)].State = keyring.KeySuspended
	})
	id := w.key("test", "a", keyring.Encryption, 2).ID
	for _, kr := range []*keyring.Keyring{w.warm, w.open(t)} {
		k := use(kr, keyring.Encryption)
		err := kr.Refresh(t.Context())
		if kr == w.warm {
			aboutKey(t, err, w.old.ID, keyring.ErrTampered)
			require.NoError(t, k.decrypt("a", w.old.ID))
		} else {
			aboutKey(t, k.decrypt("a", w.old.ID), w.old.ID, keyring.ErrTampered)
			_, err = k.Live(t.Context(), "a")
			aboutKey(t, err, w.old.ID, keyring.ErrTampered)
		}
		require.Equal(t, id, k.mustEncrypt(t, "a"))
		require.NoError(t, k.decrypt("a", id))
		infos, err := kr.Keys(t.Context(), w.target)
		aboutKey(t, err, w.old.ID, keyring.ErrTampered)
		require.Len(t, infos, 1)
		require.Equal(t, id, infos[0].ID, "what is left is told")
		require.Equal(t, keyring.Active, infos[0].State)
	}
}
