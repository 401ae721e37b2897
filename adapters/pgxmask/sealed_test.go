package pgxmask

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// member has sealed columns of most sorts.
type member struct {
	ID    int64      `db:"id"`
	Email string     `db:"email" seal:"encrypt,index=email_idx,norm=email,unique=email_idx2"`
	Born  *time.Time `db:"born" seal:"encrypt,type=date"`
	Card  string     `db:"card" seal:"token=pan,key=card_key,index=card_idx"`
	Name  string     `db:"name" seal:"encrypt,index=name_pre,kind=prefix"`
	Note  string     `db:"note" seal:"encrypt"`
	Plan  string     `db:"plan"`
}

const (
	members = `create table members (id bigint primary key, email bytea not null, email_idx bytea, email_idx2 bytea, born bytea,
		card varchar(19) not null, card_key bytea not null, card_idx bytea not null, name bytea not null, name_pre bytea[] not null, note bytea not null, plan text not null)`
	insertMember = `insert into members (id, email, email_idx, email_idx2, born, card, card_key, card_idx, name, name_pre, note, plan)
		values (@id, @email, @email_idx, @email_idx2, @born, @card, @card_key, @card_idx, @name, @name_pre, @note, @plan)`
	membersPolicy = `"public.members": {"subject": "id", "columns": {
		"id": "int,domain=member,fallback=error", "email": "email,domain=member.email", "born": "date,fallback=error", "card": "pan,domain=card,fallback=error",
		"name": "name,domain=member.name", "note": {"keep": "made by the system"}, "plan": {"keep": "four values"}}}`
)

func memberTable(t testing.TB, kr *keyring.Keyring) *pgxfield.Table[member] {
	table, err := pgxfield.NewTable[member](kr, "members", pgxfield.Config{RowKey: []string{"id"}})
	require.NoError(t, err)
	return table
}

func aMember(id int64) *member {
	m := &member{ID: id, Email: fmt.Sprintf("ann.original.%d@example.org", id), Card: luhn(fmt.Sprintf("4%014d", id*7919)), Name: "Ann Lee", Note: fmt.Sprint("note ", id), Plan: "pro"}
	if id%3 > 0 {
		born := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(id))
		m.Born = &born
	}
	return m
}

// newMembers returns a database with sealed rows, and its two tables.
func newMembers(t testing.TB, rows int64) (conn *pgx.Conn, source, target *pgxfield.Table[member], cfg Config) {
	small(t)
	production := keyringtest.NewKeyring(t)
	source, target = memberTable(t, production), memberTable(t, keyringtest.NewKeyring(t))
	conn = connect(t, append([]string{members}, source.DDL()...)...)
	var batch pgx.Batch
	for id := int64(1); id <= rows; id++ {
		batch.Queue(insertMember, source.Args(aMember(id)))
	}
	require.NoError(t, conn.SendBatch(t.Context(), &batch).Close())
	run(t, conn, "analyze")
	return conn, source, target, Config{Policy: policy(t, membersPolicy), Keyring: production, Sealed: map[string]Sealed{"public.members": {source, target}}}
}

// TestSealedSource copies sealed columns: they are masked and under the copy's keys, can
// be searched there, and nothing in the copy is under a key of the source.
func TestSealedSource(t *testing.T) {
	ctx := t.Context()
	const rows = 300
	conn, source, target, cfg := newMembers(t, rows)
	p, err := NewPlan(ctx, conn, cfg)
	require.NoError(t, err)
	copied := connect(t)
	r, err := p.Run(ctx, RunConfig{Source: conn.Config(), Target: copied.Config(), Workers: 2})
	require.NoError(t, err)
	require.Equal(t, int64(rows), r.Rows)
	require.NoError(t, target.Verify(ctx, copied))

	result, err := copied.Query(ctx, "select * from members")
	require.NoError(t, err)
	found, err := pgx.CollectRows(result, target.Row(ctx))
	require.NoError(t, err)
	byNote := map[string]member{}
	for _, m := range found {
		byNote[m.Note] = m
	}
	require.Len(t, byNote, rows)
	for id := int64(1); id <= rows; id++ {
		want, got := aMember(id), byNote[fmt.Sprint("note ", id)]
		require.Equal(t, apply(t, p, "id", fmt.Sprint(want.ID)), fmt.Sprint(got.ID))
		require.Equal(t, apply(t, p, "email", want.Email), got.Email)
		require.Equal(t, apply(t, p, "card", want.Card), got.Card)
		require.Equal(t, apply(t, p, "name", want.Name), got.Name)
		require.Equal(t, want.Plan, got.Plan)
		require.Equal(t, want.Born == nil, got.Born == nil)
		if want.Born != nil {
			require.NotEqual(t, *want.Born, *got.Born)
			require.Less(t, want.Born.Sub(*got.Born).Abs(), 366*24*time.Hour)
		}
	}
	tags, err := target.Match(ctx, "email", apply(t, p, "email", aMember(7).Email))
	require.NoError(t, err)
	var n int
	require.NoError(t, copied.QueryRow(ctx, "select count(*) from members where email_idx = any($1) or email_idx2 = any($1)", tags).Scan(&n))
	require.Equal(t, 1, n)

	result, err = copied.Query(ctx, "select * from members")
	require.NoError(t, err)
	_, err = pgx.CollectRows(result, source.Row(ctx))
	require.Error(t, err, "the source's keys open nothing of the copy")
	for _, column := range []string{"email", "born", "name", "note", "email_idx", "card_idx", "card_key", "name_pre[1]"} {
		start := 2
		if column == "card_key" {
			start = 1
		}
		for _, purpose := range []keyring.Purpose{keyring.Encryption, keyring.Index, keyring.Token} {
			keys, err := cfg.Keyring.Keys(ctx, keyring.Target{Purpose: purpose})
			require.NoError(t, err)
			for _, k := range keys {
				id := binary.BigEndian.AppendUint32(nil, uint32(k.ID))
				require.NoError(t, copied.QueryRow(ctx, fmt.Sprintf("select count(*) from members where substring(%s from %d for 4) = $1", column, start), id).Scan(&n))
				require.Zero(t, n, column)
			}
		}
	}
}

// TestSealedFiles writes and verifies sealed columns in files of each format, and finds
// what was changed there.
func TestSealedFiles(t *testing.T) {
	ctx := t.Context()
	conn, _, _, cfg := newMembers(t, 200)
	p, err := NewPlan(ctx, conn, cfg)
	require.NoError(t, err)
	for _, f := range []Format{CopyText, CSV, JSONL} {
		dir := t.TempDir()
		r, err := p.Run(ctx, RunConfig{Source: conn.Config(), Dir: dir, Format: f, Workers: 2})
		require.NoError(t, err)
		require.Positive(t, r.Verification.Sampled)
		for _, c := range r.Verification.Columns {
			require.Less(t, c.Same, int64(3), c.Column)
		}
		_, err = p.Verify(ctx, RunConfig{Source: conn.Config(), Dir: dir, Format: f})
		require.NoError(t, err)
		for _, secret := range []string{"ann.original", "example.org", "note 1", "Ann Lee"} {
			require.NotContains(t, string(content(t, dir, "public.members", None)), secret)
		}
	}

	// An original that is sealed for the copy is found, under its keys.
	cfg.Policy = policy(t, bytesReplace(membersPolicy, `{"keep": "made by the system"}`, `{"keep": "a copy of the e-mail address, wrongly"}`))
	run(t, conn, "delete from members")
	m := aMember(1)
	m.Note = "write to " + m.Email
	var batch pgx.Batch
	batch.Queue(insertMember, cfg.Sealed["public.members"].Source.(*pgxfield.Table[member]).Args(m))
	require.NoError(t, conn.SendBatch(ctx, &batch).Close())
	p, err = NewPlan(ctx, conn, cfg)
	require.NoError(t, err)
	dir := t.TempDir()
	_, err = p.Run(ctx, RunConfig{Source: conn.Config(), Dir: dir})
	require.ErrorIs(t, err, ErrVerify)
	require.ErrorContains(t, err, "public.members.note")
	require.NotContains(t, err.Error(), "ann.original")
	require.NoFileExists(t, filepath.Join(dir, finishedName))
}

func bytesReplace(s, old, with string) string {
	return string(bytes.Replace([]byte(s), []byte(old), []byte(with), 1))
}

// TestSealedRefuses is about plans.
func TestSealedRefuses(t *testing.T) {
	ctx := t.Context()
	conn, source, target, cfg := newMembers(t, 3)
	type other struct {
		ID    int64  `db:"id"`
		Email string `db:"email" seal:"encrypt"`
	}
	narrow, err := pgxfield.NewTable[other](keyringtest.NewKeyring(t), "members", pgxfield.Config{RowKey: []string{"id"}})
	require.NoError(t, err)
	type absent struct {
		ID   int64  `db:"id"`
		Nope string `db:"nope" seal:"encrypt"`
	}
	missing, err := pgxfield.NewTable[absent](keyringtest.NewKeyring(t), "members", pgxfield.Config{RowKey: []string{"id"}})
	require.NoError(t, err)
	for _, c := range []struct {
		sealed map[string]Sealed
		policy string
		want   string
	}{
		{map[string]Sealed{"public.members": {source, narrow}}, membersPolicy, "have other sealed columns"},
		{map[string]Sealed{"public.members": {source, nil}}, membersPolicy, "needs a Source and a Copy"},
		{map[string]Sealed{"public.members": {missing, missing}}, membersPolicy, "Config.Sealed has this column, and the table has not"},
		{map[string]Sealed{"members": {source, target}}, membersPolicy, "Config.Sealed has it, and no such table is copied"},
		{cfg.Sealed, bytesReplace(membersPolicy, `"plan":`, `"email_idx": {"keep": "tags"}, "plan":`), `it is made anew together with email`},
		{cfg.Sealed, bytesReplace(membersPolicy, `"date,fallback=error"`, `"email"`), "and what is sealed is date"},
		{cfg.Sealed, bytesReplace(membersPolicy, `"email,domain=member.email"`, `"partial,first=1"`), "email_idx"},
		{nil, membersPolicy, "the policy does not name this column"},
	} {
		cfg.Sealed, cfg.Policy = c.sealed, policy(t, c.policy)
		_, err := NewPlan(ctx, conn, cfg)
		require.ErrorContains(t, err, c.want)
	}

	// Under a keyring that did not seal them nothing opens.
	cfg.Sealed, cfg.Policy = map[string]Sealed{"public.members": {target, source}}, policy(t, membersPolicy)
	_, err = NewPlan(ctx, conn, cfg)
	require.ErrorContains(t, err, "sample of public.members")

	// A kept column of sealed values that nobody declares is warned of.
	run(t, conn, "create table other (id int primary key, secret bytea)", "insert into other select row_number() over (), email from members")
	cfg.Sealed = map[string]Sealed{"public.members": {source, target}}
	cfg.Policy = policy(t, membersPolicy+`, "public.other": {"columns": {"id": {"keep": "a number"}, "secret": {"keep": "ciphertext"}}}`)
	p, err := NewPlan(ctx, conn, cfg)
	require.NoError(t, err)
	var warned []string
	for _, w := range p.warnings {
		warned = append(warned, w.Table+"."+w.Column+": "+w.Reason)
	}
	require.Contains(t, fmt.Sprint(warned), "public.other.secret: it is kept, and looks sealed")
}

// TestSealedSameKeys has a Copy under the keys of the Source, which would reach the copy.
func TestSealedSameKeys(t *testing.T) {
	conn, source, _, cfg := newMembers(t, 20)
	for name, other := range map[string]SealedTable{"the same table": source, "another one": memberTable(t, cfg.Keyring)} {
		cfg.Sealed = map[string]Sealed{"public.members": {source, other}}
		_, err := NewPlan(t.Context(), conn, cfg)
		require.EqualError(t, err, "pgxmask: policy line 1: public.members: what the Copy of Config.Sealed seals opens under the keys of the Source; make a keyring for the copy", name)
	}
}

// TestSealedPadded has a row key of char(n): applications read it with its spaces, and so
// values are bound to these.
func TestSealedPadded(t *testing.T) {
	type account struct {
		Code string `db:"code"`
		Note string `db:"note" seal:"encrypt"`
	}
	ctx := t.Context()
	table := func(kr *keyring.Keyring) *pgxfield.Table[account] {
		table, err := pgxfield.NewTable[account](kr, "accounts", pgxfield.Config{RowKey: []string{"code"}})
		require.NoError(t, err)
		return table
	}
	production, test := keyringtest.NewKeyring(t), keyringtest.NewKeyring(t)
	source, target := table(production), table(test)
	const accounts = "create table accounts (code char(40) primary key, note bytea not null)"
	conn := connect(t, accounts)
	for _, code := range []string{"ann.smith@example.com", "bob.jones@example.com"} {
		_, err := conn.Exec(ctx, "insert into accounts (code, note) values (@code, @note)", source.Args(&account{fmt.Sprintf("%-40s", code), "a note"}))
		require.NoError(t, err)
	}
	p, err := NewPlan(ctx, conn, Config{Keyring: production, Policy: policy(t, `"public.accounts": {"columns": {"code": "email,fallback=error", "note": {"keep": "of no use"}}}`),
		Sealed: map[string]Sealed{"public.accounts": {source, target}}})
	require.NoError(t, err)
	_, err = p.Run(ctx, RunConfig{Source: conn.Config(), Dir: t.TempDir()})
	require.NoError(t, err)
	copied := connect(t, accounts)
	_, err = p.Run(ctx, RunConfig{Source: conn.Config(), Target: copied.Config()})
	require.NoError(t, err)
	rows, err := copied.Query(ctx, "select code, note from accounts")
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, target.Row(ctx))
	require.NoError(t, err)
	require.Len(t, all, 2)
	for _, a := range all {
		require.Equal(t, "a note", a.Note)
	}
}
