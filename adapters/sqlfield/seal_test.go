package sqlfield_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// person has an indexed column of text, one of integers that is bound to its row, and
// one that may be NULL.
type person struct {
	ID      int
	Name    sealed[string]
	NameIdx tag[string]
	age
	Note *sealed[[]byte]
	note sealed[[]byte]
}

type age struct{ Age sealed[int] }

// NamedAge is a Field itself, since it embeds one.
type NamedAge struct {
	sqlfield.Sealed[string, mark[string]]
	Age sealed[int]
}

// usePerson sets up the columns of persons.
func usePerson(t testing.TB, kr *keyring.Keyring) *sqlfield.Index[string] {
	use[int](t, kr, "persons.age", sqlfield.Config{RowBound: true})
	use[[]byte](t, kr, "persons.note", sqlfield.Config{})
	x, err := use[string](t, kr, "persons.name", sqlfield.Config{}).NewIndex(token.IndexConfig{Normalizer: token.NFKCFold})
	require.NoError(t, err)
	return set(x)
}

func newPerson(id int, name string, years int) *person {
	return &person{ID: id, Name: sqlfield.Of[mark[string]](name), age: age{sqlfield.Of[mark[int]](years)}}
}

func (p *person) place() crypto.Binding { return crypto.Binding{Row: sqlfield.Row(p.ID)} }

func (p *person) requireNotSealed(t *testing.T) {
	_, err := p.Name.Value()
	_, err2 := p.Age.Value()
	require.ErrorIs(t, err, sqlfield.ErrNotSealed)
	require.ErrorIs(t, err2, sqlfield.ErrNotSealed)
	require.True(t, p.NameIdx.IsZero())
}

func TestSeal(t *testing.T) {
	ctx := t.Context()
	kr := newKeyring(t)
	x := usePerson(t, kr)
	none, err := x.Match(ctx, "ann", "")
	require.NoError(t, err)
	require.Empty(t, none)
	require.NotNil(t, none)

	p := newPerson(1, "Ann", 41)
	p.note = sqlfield.Of[mark[[]byte]]([]byte("unexported"))
	require.Len(t, sqlfield.Fields(p), 3)
	p.note = sealed[[]byte]{}
	p.Note = &sealed[[]byte]{}
	require.Len(t, sqlfield.Fields(p), 4)
	require.NoError(t, sqlfield.Seal(ctx, p.place(), sqlfield.Fields(p)...))
	name, err := p.Name.Open(ctx)
	require.NoError(t, err)
	require.Equal(t, "Ann", name)
	years, err := p.Age.OpenAt(ctx, p.place())
	require.NoError(t, err)
	require.Equal(t, 41, years)
	require.True(t, p.Note.IsZero())
	tags, err := x.Match(ctx, "ANN", "")
	require.NoError(t, err)
	require.Equal(t, [][]byte{ciphertext(t, p.NameIdx)}, tags)
	one, err := x.Tag(ctx, "ann", "")
	require.NoError(t, err)
	require.Equal(t, tags[0], one)

	// Once more changes nothing.
	before := *p
	require.NoError(t, sqlfield.Seal(ctx, p.place(), sqlfield.Fields(p)...))
	require.Equal(t, before, *p)

	// A tag that was not read is made again; and it goes with its value.
	p.NameIdx = tag[string]{}
	require.NoError(t, sqlfield.Seal(ctx, p.place(), &p.NameIdx, &p.Name))
	require.Equal(t, before, *p)
	p.Name = sealed[string]{}
	require.NoError(t, sqlfield.Seal(ctx, p.place(), &p.NameIdx, &p.Name))
	require.True(t, p.NameIdx.IsZero())

	type holder struct{ *age }
	held := &holder{&p.age}
	require.Equal(t, []sqlfield.Field{&p.Age}, sqlfield.Fields(held))
	require.Empty(t, sqlfield.Fields(&holder{}))
	var both struct{ NamedAge }
	require.Equal(t, []sqlfield.Field{&both.Sealed, &both.Age}, sqlfield.Fields(&both))

	require.Panics(t, func() { sqlfield.Fields(*p) })
	require.Panics(t, func() { sqlfield.Fields((*person)(nil)) })
	require.Panics(t, func() { sqlfield.Fields(&tags) })
}

// Row, Ping and Pong embed pointers to themselves.
type (
	Row struct {
		*Row
		Name    sealed[string]
		NameIdx tag[string]
	}
	Ping struct {
		*Pong
		Note sealed[[]byte]
	}
	Pong struct {
		Age sealed[int]
		*Ping
	}
)

// TestFieldsOfItself has rows that embed themselves. What hides another field of its
// name stands for it.
func TestFieldsOfItself(t *testing.T) {
	row := &Row{}
	want := []sqlfield.Field{&row.Name, &row.NameIdx}
	require.Equal(t, want, sqlfield.Fields(row))
	row.Row = &Row{}
	require.Equal(t, want, sqlfield.Fields(row))
	row.Row = row
	fields := sqlfield.Fields(row)
	require.Len(t, fields, 2)
	require.Same(t, &row.Name, fields[0])

	ping := &Ping{Pong: &Pong{}}
	ping.Pong.Ping = ping
	require.Len(t, sqlfield.Fields(ping), 2)
	require.Len(t, sqlfield.Fields(ping.Pong), 2)
	require.Len(t, sqlfield.Fields(&struct{ *Ping }{ping}), 2)
}

// TestSealRefuses has what Seal refuses. Nothing is changed then.
func TestSealRefuses(t *testing.T) {
	ctx := t.Context()
	usePerson(t, newKeyring(t))
	for why, fields := range map[string]func(p *person) []sqlfield.Field{
		"sqlfield: persons.name: seal: its value is there without the tag of an index": func(p *person) []sqlfield.Field { return []sqlfield.Field{&p.Age, &p.Name} },
		"sqlfield: persons.name: seal: its tag is there without its value":             func(p *person) []sqlfield.Field { return []sqlfield.Field{&p.Age, &p.NameIdx} },
		"sqlfield: persons.name: seal: it is there twice":                              func(p *person) []sqlfield.Field { return []sqlfield.Field{&p.NameIdx, &p.Name, &p.Age, &p.Name} },
		"sqlfield: seal: field 1 is nil":                                               func(p *person) []sqlfield.Field { return []sqlfield.Field{&p.Age, p.Note} },
		"sqlfield: seal: field 2 is nil":                                               func(p *person) []sqlfield.Field { return []sqlfield.Field{&p.Name, &p.NameIdx, (*tag[string])(nil)} },
		"sqlfield: seal: field 0 is nil":                                               func(p *person) []sqlfield.Field { return []sqlfield.Field{nil, &p.Age} },
		"sqlfield: persons.age: seal: crypto: field persons.age: the row key is empty": func(p *person) []sqlfield.Field { p.ID = 0; return sqlfield.Fields(p) },
		"sqlfield: persons.name: seal: the value is no UTF-8 text without zero bytes": func(p *person) []sqlfield.Field {
			p.Name = sqlfield.Of[mark[string]]("\x00")
			return []sqlfield.Field{&p.Age, &p.Name, &p.NameIdx}
		},
	} {
		p := newPerson(1, "Ann", 41)
		all := fields(p)
		require.EqualError(t, sqlfield.Seal(ctx, p.place(), all...), why)
		p.requireNotSealed(t)
	}

	// A value that a second index has no tag for.
	usePerson(t, newKeyring(t))
	_, err := get[*sqlfield.Column[string]]().NewIndex(token.IndexConfig{Normalizer: token.Email})
	require.NoError(t, err)
	p := newPerson(1, "Ann", 41)
	require.ErrorContains(t, sqlfield.Seal(ctx, p.place(), sqlfield.Fields(p)...), "without the tag of an index")
}

// TestLateIndex makes an index of a column in use: each value that is sealed without its
// tag is one before the index, which then can not be made.
func TestLateIndex(t *testing.T) {
	ctx := t.Context()
	kr := newKeyring(t)
	for _, seal := range []func(v sealed[string]) error{
		func(v sealed[string]) error { return sqlfield.Seal(ctx, crypto.Binding{}, &v) },
		func(v sealed[string]) error { _, err := v.Value(); return err },
	} {
		c := use[string](t, kr, "t.v", sqlfield.Config{})
		_, err := c.NewIndex(token.IndexConfig{})
		require.NoError(t, err)
		require.Error(t, seal(sqlfield.Of[mark[string]]("v")))
		_, err = c.NewIndex(token.IndexConfig{Normalizer: token.Email})
		require.ErrorContains(t, err, "sqlfield: index of t.v: the column has sealed values already")

		c = use[string](t, kr, "t.v", sqlfield.Config{})
		require.NoError(t, seal(sqlfield.Of[mark[string]]("v")))
		_, err = c.NewIndex(token.IndexConfig{})
		require.ErrorContains(t, err, "sqlfield: index of t.v: the column has sealed values already")
		require.NoError(t, seal(sqlfield.Of[mark[string]]("v")))

		var late int
		for range 200 {
			c := use[string](t, kr, "t.v", sqlfield.Config{})
			start := make(chan struct{})
			failed := make([]error, 4)
			var all sync.WaitGroup
			for i := range failed {
				all.Go(func() {
					<-start
					failed[i] = seal(sqlfield.Of[mark[string]]("v"))
				})
			}
			var err error
			all.Go(func() {
				<-start
				_, err = c.NewIndex(token.IndexConfig{})
			})
			close(start)
			all.Wait()
			for _, f := range failed {
				require.Equal(t, err == nil, f != nil, "%v, %v", err, f)
			}
			if err != nil {
				late++
			}
		}
		t.Logf("the index came too late in %d of 200 rounds", late)
	}
}

// TestTagScan has what a driver may hand over.
func TestTagScan(t *testing.T) {
	ctx := t.Context()
	x := usePerson(t, newKeyring(t))
	bytes, err := x.Tag(ctx, "ann", "")
	require.NoError(t, err)
	var read tag[string]
	src := append([]byte{}, bytes...)
	require.NoError(t, read.Scan(src))
	clear(src)
	require.Equal(t, bytes, ciphertext(t, read))
	for _, src := range []any{"ann", string(bytes), 1, []byte("ann"), []byte{}, bytes[1:], append([]byte{1}, bytes...), []byte("a tag of 21 bytes, no")} {
		require.ErrorContains(t, read.Scan(src), "sqlfield: persons.name: scan: ")
		require.Equal(t, bytes, ciphertext(t, read))
	}
	require.NoError(t, read.Scan(nil))
	value, err := read.Value()
	require.NoError(t, err)
	require.Nil(t, value)
	_, err = x.Match(ctx, "\xff", "")
	require.Error(t, err)
	use[*string](t, newKeyring(t), "t.v", sqlfield.Config{})
	pointers, err := get[*sqlfield.Column[*string]]().NewIndex(token.IndexConfig{})
	require.NoError(t, err)
	_, err = pointers.Match(ctx, nil, "")
	require.ErrorContains(t, err, "NULL has no index tags")
	null, err := pointers.Tag(ctx, nil, "")
	require.NoError(t, err)
	require.Nil(t, null)
}

func TestIn(t *testing.T) {
	condition, args := sqlfield.In("email_idx", [][]byte{{1}, {2}, {3}})
	require.Equal(t, "email_idx in (?, ?, ?)", condition)
	require.Equal(t, []any{[]byte{1}, []byte{2}, []byte{3}}, args)
	condition, args = sqlfield.In("email_idx", nil)
	require.Equal(t, "1 = 0", condition)
	require.Empty(t, args)
}

// TestRotation renews values and tags under new keys.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		kr := newKeyring(t)
		x := usePerson(t, kr)
		p := newPerson(1, "Ann", 41)
		require.NoError(t, sqlfield.Seal(ctx, p.place(), sqlfield.Fields(p)...))
		before := *p
		for _, purpose := range []keyring.Purpose{keyring.Encryption, keyring.Index} {
			_, err := kr.Rotate(ctx, keyring.Target{Purpose: purpose}, keyring.RotateOptions{})
			require.NoError(t, err)
		}
		require.NoError(t, sqlfield.Seal(ctx, p.place(), sqlfield.Fields(p)...))
		require.Equal(t, before, *p, "the new keys are not in use yet")
		time.Sleep(time.Hour)
		require.NoError(t, sqlfield.Seal(ctx, p.place(), sqlfield.Fields(p)...))
		require.NotEqual(t, before.Name, p.Name)
		require.NotEqual(t, before.NameIdx, p.NameIdx)
		require.NotEqual(t, before.Age, p.Age)
		for _, p := range []person{before, *p} {
			name, err := p.Name.Open(ctx)
			require.NoError(t, err)
			require.Equal(t, "Ann", name)
			years, err := p.Age.OpenAt(ctx, p.place())
			require.NoError(t, err)
			require.Equal(t, 41, years)
			tags, err := x.Match(ctx, "ann", "")
			require.NoError(t, err)
			require.Len(t, tags, 2)
			require.Contains(t, tags, ciphertext(t, p.NameIdx))
		}
	})
}

// TestKeyringFails has a keyring that is closed, and one that has lost its KMS for two
// days: errors that are not ErrDecrypt.
func TestKeyringFails(t *testing.T) {
	for want, fail := range map[error]func(kr *keyring.Keyring, kms *keyringtest.KMS){
		keyring.ErrClosed: func(kr *keyring.Keyring, _ *keyringtest.KMS) { kr.Close() },
		keyring.ErrStale: func(_ *keyring.Keyring, kms *keyringtest.KMS) {
			kms.SetHook(func(context.Context, string) ([]byte, error) {
				return nil, fmt.Errorf("down: %w", keyring.ErrUnavailable)
			})
			time.Sleep(48 * time.Hour)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			kms := keyringtest.NewKMS()
			kr := newKeyring(t, func(cfg *keyring.Config) { cfg.KMS = []keyring.KMS{kms} })
			x := usePerson(t, kr)
			p := newPerson(1, "Ann", 41)
			require.NoError(t, sqlfield.Seal(ctx, p.place(), sqlfield.Fields(p)...))
			bytes := ciphertext(t, p.Name)
			fail(kr, kms)

			var read sealed[string]
			require.NoError(t, read.Scan(bytes))
			value, err := read.Value()
			require.NoError(t, err, "what is sealed is written without a key")
			require.Equal(t, bytes, value)
			_, opened := read.Open(ctx)
			_, matched := x.Match(ctx, "ann", "")
			_, tagged := x.Tag(ctx, "ann", "")
			_, valued := sqlfield.Of[mark[[]byte]]([]byte("x")).Value()
			again := newPerson(1, "Ann", 41)
			for i, err := range []error{opened, matched, tagged, valued,
				sqlfield.Seal(ctx, p.place(), sqlfield.Fields(p)...), sqlfield.Seal(ctx, p.place(), sqlfield.Fields(again)...)} {
				require.ErrorIs(t, err, want, i)
				require.NotErrorIs(t, err, crypto.ErrDecrypt, i)
				_, ok := errors.AsType[*sqlfield.Error](err)
				require.True(t, ok)
			}
			again.requireNotSealed(t)
		})
	}
}

// TestConcurrency uses one column, and copies of one value, in several goroutines.
func TestConcurrency(t *testing.T) {
	ctx := t.Context()
	x := usePerson(t, newKeyring(t))
	shared := newPerson(1, "Ann", 41)
	require.NoError(t, sqlfield.Seal(ctx, shared.place(), sqlfield.Fields(shared)...))
	pending := sqlfield.Of[mark[[]byte]]([]byte("pending"))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				own := newPerson(1+i, fmt.Sprint("name ", i, n), n)
				read := *shared
				_ = fmt.Sprint(pending, shared.Name, own)
				v, err := pending.Value()
				name, err2 := read.Name.Open(ctx)
				years, err3 := read.Age.OpenAt(ctx, shared.place())
				tags, err4 := x.Match(ctx, "ann", "")
				err5 := sqlfield.Seal(ctx, own.place(), sqlfield.Fields(own)...)
				if err := errors.Join(err, err2, err3, err4, err5); err != nil || v == nil || name != "Ann" || years != 41 || len(tags) != 1 {
					t.Error(err, v, name, years, tags)
				}
				if got, err := own.Name.Open(ctx); err != nil || got != fmt.Sprint("name ", i, n) {
					t.Error(got, err)
				}
			}
		})
	}
	all.Wait()
}
