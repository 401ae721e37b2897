package pgxstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/keyring/localkms"
	"github.com/sealfield/sealfield/token"
)

const onePAN, otherPAN = "4111111111111111", "4242424242424242"

// vaultFixture is a scoped keyring, a table and a connection of somebody who may
// write all of it.
type vaultFixture struct {
	kr    *keyring.Keyring
	store *VaultStore
	conn  *pgx.Conn
}

func newVaultFixture(t *testing.T) vaultFixture {
	config := parse(t, pgtest.Database(t))
	return vaultFixture{
		kr:    keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true }),
		store: migratedVault(t, config, VaultConfig{}),
		conn:  connect(t, config),
	}
}

func (f vaultFixture) tokenize(t *testing.T, cfg token.VaultConfig, value, scope string) token.Token {
	tok, err := newVault(t, f.kr, f.store, cfg).Tokenize(t.Context(), []byte(value), scope)
	require.NoError(t, err)
	return tok
}

func hashOf(tok token.Token) []byte {
	h := sha256.Sum256([]byte(tok))
	return h[:]
}

// TestVaultWriter: what somebody who writes the table can not do.
func TestVaultWriter(t *testing.T) {
	convergent, random := token.VaultConfig{Convergent: true, TTL: time.Hour}, token.VaultConfig{TTL: time.Hour, Uses: 3}
	for name, c := range map[string]struct {
		cfg   token.VaultConfig
		sql   string // $1 is the hash of the victim, $2 that of another token of the vault, $3 that of one of another scope
		want  error  // of Detokenize
		again error  // of Tokenize, in a convergent vault
		code  string // of PostgreSQL, which refuses it
	}{
		"swap the values of two rows": {cfg: convergent, want: token.ErrTampered, again: token.ErrTampered, sql: `
			update sealfield.vault_tokens t set sealed = o.sealed from sealfield.vault_tokens o
			where (t.hash, o.hash) in (($1, $2), ($2, $1)) and $3 = $3`},
		"swap the hashes of two rows": {cfg: convergent, want: token.ErrTampered, again: token.ErrTampered, sql: `
			update sealfield.vault_tokens set hash = sha256(hash) where hash in ($1::bytea, $2::bytea);
			update sealfield.vault_tokens set hash = case when hash = sha256($1::bytea) then $2::bytea else $1::bytea end
			where hash in (sha256($1::bytea), sha256($2::bytea))`},
		"give it a value of another scope": {cfg: convergent, want: crypto.ErrDecrypt, again: crypto.ErrDecrypt, sql: `
			update sealfield.vault_tokens t set sealed = (select sealed from sealfield.vault_tokens where hash = $3) where hash = $1 and $2 = $2`},
		"move it to another scope": {cfg: convergent, want: token.ErrScope, again: token.ErrTampered, sql: `
			update sealfield.vault_tokens set scope = 'b' where hash = $1 and $2 <> $3`},
		"move it to another vault": {cfg: convergent, want: token.ErrKind, again: token.ErrTampered, sql: `
			update sealfield.vault_tokens set vault = 'random' where hash = $1 and $2 <> $3`},
		"prolong its life": {cfg: convergent, want: token.ErrTampered, again: token.ErrTampered, sql: `
			update sealfield.vault_tokens set expires_at = expires_at + interval '1 hour' where hash = $1 and $2 <> $3`},
		"let it live for ever": {cfg: convergent, want: token.ErrTampered, again: token.ErrTampered, sql: `
			update sealfield.vault_tokens set expires_at = null where hash = $1 and $2 <> $3`},
		"point the tag to another token": {cfg: convergent, again: token.ErrTampered, sql: `
			update sealfield.vault_tags set hash = $2 where hash = $1 and $2 <> $3`},
		"let it be used more often": {cfg: random, want: token.ErrTampered, sql: `
			update sealfield.vault_tokens set uses = 9, uses_left = 9 where hash = $1 and $2 <> $3`},
		"let it be used for ever": {cfg: random, want: token.ErrTampered, sql: `
			update sealfield.vault_tokens set uses = 0, uses_left = 0 where hash = $1 and $2 <> $3`},
		"use it more often than there is": {cfg: random, code: "23514", sql: `
			update sealfield.vault_tokens set uses_left = uses + 1 where hash = $1 and $2 <> $3`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newVaultFixture(t)
			v := newVault(t, f.kr, f.store, c.cfg)
			victim := f.tokenize(t, c.cfg, onePAN, "a")
			args := []any{hashOf(victim), hashOf(f.tokenize(t, c.cfg, otherPAN, "a")), hashOf(f.tokenize(t, c.cfg, otherPAN, "b"))}
			var err error
			for statement := range strings.SplitSeq(c.sql, ";") {
				var tag pgconn.CommandTag
				if tag, err = f.exec(t, statement, args); err == nil {
					require.Positive(t, tag.RowsAffected(), "the attack did nothing")
				}
			}
			if c.code != "" {
				var refusal *pgconn.PgError
				require.ErrorAs(t, err, &refusal)
				require.Equal(t, c.code, refusal.Code)
				return
			}
			require.NoError(t, err)
			value, err := v.Detokenize(t.Context(), victim, "a")
			require.ErrorIs(t, err, c.want)
			if c.want == nil {
				require.Equal(t, onePAN, string(value))
			}
			if c.cfg.Convergent {
				tok, err := v.Tokenize(t.Context(), []byte(onePAN), "a")
				require.ErrorIs(t, err, c.again)
				require.Empty(t, tok)
			}
		})
	}
}

// exec runs a statement that uses only some of the arguments.
func (f vaultFixture) exec(t *testing.T, sql string, args []any) (pgconn.CommandTag, error) {
	for i := len(args); i > 0; i-- {
		if strings.Contains(sql, fmt.Sprint("$", i)) {
			return f.conn.Exec(t.Context(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args[:i]...)...)
		}
	}
	return f.conn.Exec(t.Context(), sql)
}

// TestEndedTokensDoNotComeBack: what ended has nothing left to come back with, and
// the table refuses a row that says otherwise.
func TestEndedTokensDoNotComeBack(t *testing.T) {
	f := newVaultFixture(t)
	v := newVault(t, f.kr, f.store, token.VaultConfig{Uses: 1})
	revoked, used := f.tokenize(t, token.VaultConfig{}, onePAN, "a"), f.tokenize(t, token.VaultConfig{Uses: 1}, onePAN, "a")
	sibling := f.tokenize(t, token.VaultConfig{}, otherPAN, "a")
	require.NoError(t, v.Revoke(t.Context(), revoked, "a"))
	_, err := v.Detokenize(t.Context(), used, "a")
	require.NoError(t, err)
	for tok, want := range map[token.Token]error{revoked: token.ErrRevoked, used: token.ErrUsed} {
		var sealed []byte
		require.NoError(t, f.conn.QueryRow(t.Context(), `select sealed from sealfield.vault_tokens where hash = $1`, hashOf(tok)).Scan(&sealed))
		require.Nil(t, sealed, "it is erased")
		_, err = f.conn.Exec(t.Context(), `update sealfield.vault_tokens set ended = null, ended_at = null, uses_left = uses where hash = $1`, hashOf(tok))
		require.ErrorContains(t, err, "23514")
		_, err = v.Detokenize(t.Context(), tok, "a")
		require.ErrorIs(t, err, want)
		for _, sealed := range [][]byte{{}, []byte(onePAN), bytes.Repeat([]byte{1}, 62)} {
			execSQL(t, f.conn, `update sealfield.vault_tokens set ended = null, ended_at = null, uses_left = uses, sealed = $2 where hash = $1`, hashOf(tok), sealed)
			_, err = v.Detokenize(t.Context(), tok, "a")
			require.ErrorIs(t, err, crypto.ErrDecrypt)
		}
		execSQL(t, f.conn, `update sealfield.vault_tokens set sealed = (select sealed from sealfield.vault_tokens where hash = $2) where hash = $1`, hashOf(tok), hashOf(sibling))
		_, err = v.Detokenize(t.Context(), tok, "a")
		require.ErrorIs(t, err, token.ErrTampered)
	}
}

// TestVaultWriterLimits shows what the documentation says that nothing prevents:
// somebody who kept a copy of a row can put it back, uses within the limit can be
// given back, and a value whose tag is gone gets a second token.
func TestVaultWriterLimits(t *testing.T) {
	f := newVaultFixture(t)
	v := newVault(t, f.kr, f.store, token.VaultConfig{})
	revoked, twice := f.tokenize(t, token.VaultConfig{}, onePAN, "a"), f.tokenize(t, token.VaultConfig{Uses: 2}, onePAN, "a")
	expired := f.tokenize(t, token.VaultConfig{TTL: time.Microsecond}, onePAN, "a")
	execSQL(t, f.conn, `create table copy as table sealfield.vault_tokens`)
	require.NoError(t, v.Revoke(t.Context(), revoked, "a"))
	_, err := v.Detokenize(t.Context(), twice, "a")
	require.NoError(t, err)
	_, err = v.Purge(t.Context(), 0)
	require.NoError(t, err)
	execSQL(t, f.conn, `delete from sealfield.vault_tokens; insert into sealfield.vault_tokens table copy`)
	for _, tok := range []token.Token{revoked, twice, twice} {
		value, err := v.Detokenize(t.Context(), tok, "a")
		require.NoError(t, err)
		require.Equal(t, onePAN, string(value))
	}
	_, err = v.Detokenize(t.Context(), expired, "a")
	require.ErrorIs(t, err, token.ErrExpired, "but a copy does not outlive the token")

	first := f.tokenize(t, token.VaultConfig{Convergent: true}, onePAN, "a")
	execSQL(t, f.conn, `delete from sealfield.vault_tags`)
	require.NotEqual(t, first, f.tokenize(t, token.VaultConfig{Convergent: true}, onePAN, "a"))
}

// Tokens that are deleted by hand leave no tag behind.
func TestVaultDeleteByHand(t *testing.T) {
	f := newVaultFixture(t)
	convergent := token.VaultConfig{Convergent: true}
	a, b := f.tokenize(t, convergent, onePAN, "a"), f.tokenize(t, convergent, onePAN, "b")
	execSQL(t, f.conn, `delete from sealfield.vault_tokens where keyring = 'test' and scope = 'a'`)
	intact(t, f.conn)
	v := newVault(t, f.kr, f.store, convergent)
	_, err := v.Detokenize(t.Context(), a, "a")
	require.ErrorIs(t, err, token.ErrUnknown)
	require.NotEqual(t, a, f.tokenize(t, convergent, onePAN, "a"))
	require.Equal(t, b, f.tokenize(t, convergent, onePAN, "b"))
}

// TestVaultTableShowsNothing looks for tokens and values in all that the store
// keeps. The control looks the same way at a table that has them.
func TestVaultTableShowsNothing(t *testing.T) {
	f := newVaultFixture(t)
	var marks [][]byte
	execSQL(t, f.conn, `create table careless (token text, value bytea)`)
	for _, cfg := range []token.VaultConfig{{}, {Convergent: true}, {TTL: time.Hour}, {Uses: 2}} {
		value := "marker-" + rand.Text()
		tok := f.tokenize(t, cfg, value, "a")
		marks = append(marks, []byte(value), []byte(tok))
		execSQL(t, f.conn, `insert into careless values ($1, $2)`, tok, []byte(value))
	}
	dump := func(tables ...string) string {
		var all strings.Builder
		for _, table := range tables {
			rows, err := f.conn.Query(t.Context(), `select x::text from `+table+` x`)
			require.NoError(t, err)
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			require.NotEmpty(t, lines)
			all.WriteString(strings.Join(lines, "\n"))
		}
		return all.String()
	}
	found := func(text string) (n int) {
		for _, m := range marks {
			for _, form := range []string{string(m), hex.EncodeToString(m)} {
				if strings.Contains(text, form) {
					n++
					break
				}
			}
		}
		return n
	}
	require.Equal(t, len(marks), found(dump("careless")), "the control")
	require.Zero(t, found(dump("sealfield.vault_tokens", "sealfield.vault_tags")))
}

// TestVaultLeastPrivilege grants what the docs say.
func TestVaultLeastPrivilege(t *testing.T) {
	f := newVaultFixture(t)
	grants := append(documentedGrants(t, "doc.go"), documentedGrants(t, "vault.go")...)
	role := func(lines ...string) *VaultStore {
		name := "r" + strings.ToLower(rand.Text())
		execSQL(t, f.conn, `create role `+name+` login`)
		t.Cleanup(func() { f.conn.Exec(context.Background(), `drop owned by `+name+`; drop role `+name) })
		for _, g := range lines {
			execSQL(t, f.conn, strings.ReplaceAll(g, "to app;", "to "+name+";"))
		}
		config := f.conn.Config().Copy()
		config.User = name
		return openVault(t, config, VaultConfig{})
	}
	owner := newVault(t, f.kr, f.store, token.VaultConfig{})
	forever := f.tokenize(t, token.VaultConfig{}, onePAN, "a")
	limited := f.tokenize(t, token.VaultConfig{Uses: 2}, onePAN, "a")

	nobody := newVault(t, f.kr, role(), token.VaultConfig{})
	_, err := nobody.Detokenize(t.Context(), forever, "a")
	require.ErrorIs(t, err, keyring.ErrDenied)

	reads := role(grants[:2]...)
	reader := newVault(t, f.kr, reads, token.VaultConfig{})
	value, err := reader.Detokenize(t.Context(), forever, "a")
	require.NoError(t, err)
	require.Equal(t, onePAN, string(value))
	value, err = reader.Detokenize(t.Context(), limited, "a")
	require.ErrorIs(t, err, keyring.ErrDenied)
	require.Nil(t, value)
	for _, cfg := range []token.VaultConfig{{}, {Convergent: true}} {
		_, err = newVault(t, f.kr, reads, cfg).Tokenize(t.Context(), []byte(onePAN), "a")
		require.ErrorIs(t, err, keyring.ErrDenied)
	}
	require.ErrorIs(t, reader.Revoke(t.Context(), forever, "a"), keyring.ErrDenied)
	_, err = reader.Purge(t.Context(), 0)
	require.ErrorIs(t, err, keyring.ErrDenied)

	makes := role(append(grants[:2:2], grants[5:7]...)...)
	for _, cfg := range []token.VaultConfig{{}, {Convergent: true, TTL: time.Microsecond}, {Uses: 1}} {
		for range 2 {
			_, err = newVault(t, f.kr, makes, cfg).Tokenize(t.Context(), []byte(onePAN), "a")
			require.NoError(t, err)
		}
	}
	require.ErrorIs(t, newVault(t, f.kr, makes, token.VaultConfig{}).Revoke(t.Context(), forever, "a"), keyring.ErrDenied)

	ends := role(append(grants[:2:2], grants[6:8]...)...)
	_, err = newVault(t, f.kr, ends, token.VaultConfig{}).Detokenize(t.Context(), limited, "a")
	require.NoError(t, err)
	require.NoError(t, newVault(t, f.kr, ends, token.VaultConfig{}).Revoke(t.Context(), forever, "a"))
	_, err = newVault(t, f.kr, ends, token.VaultConfig{}).Tokenize(t.Context(), []byte(onePAN), "a")
	require.ErrorIs(t, err, keyring.ErrDenied)

	purges := role(append(grants[:2:2], grants[6:9]...)...)
	purged, err := newVault(t, f.kr, purges, token.VaultConfig{Convergent: true}).Purge(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, token.Purged{Erased: 2, Removed: 2}, purged)
	_, err = owner.Purge(t.Context(), 0)
	require.NoError(t, err)
	intact(t, f.conn)
}

func TestVaultErrors(t *testing.T) {
	ctx := t.Context()
	f := newVaultFixture(t)
	v := newVault(t, f.kr, f.store, token.VaultConfig{})
	tok := f.tokenize(t, token.VaultConfig{}, onePAN, "a")
	broken := func(t *testing.T, v *token.Vault, want error) {
		t.Helper()
		value, err := v.Detokenize(ctx, tok, "a")
		require.ErrorIs(t, err, want)
		require.Nil(t, value)
		got, err2 := v.Tokenize(ctx, []byte(otherPAN), "a")
		require.ErrorIs(t, err2, want)
		require.Empty(t, got)
		for _, secret := range []string{onePAN, otherPAN, string(tok), string(tok)[4:], hex.EncodeToString(hashOf(tok))} {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v %v %+v %#v", err, err, err, err2, err2, err2), secret)
		}
	}
	t.Run("not migrated", func(t *testing.T) {
		broken(t, newVault(t, f.kr, openVault(t, f.conn.Config(), VaultConfig{Schema: "nowhere"}), token.VaultConfig{}), keyring.ErrUnavailable)
	})
	t.Run("closed", func(t *testing.T) {
		s := openVault(t, f.conn.Config(), VaultConfig{})
		s.Close()
		broken(t, newVault(t, f.kr, s, token.VaultConfig{}), keyring.ErrUnavailable)
	})
	t.Run("read-only after a failover", func(t *testing.T) {
		config := f.conn.Config().Copy()
		config.RuntimeParams["default_transaction_read_only"] = "on"
		ro := newVault(t, f.kr, openVault(t, config, VaultConfig{}), token.VaultConfig{})
		_, err := ro.Tokenize(ctx, []byte(onePAN), "a")
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		_, err = ro.Detokenize(ctx, tok, "a")
		require.NoError(t, err)
	})
	t.Run("a row that the table refuses", func(t *testing.T) {
		_, err := f.store.Insert(ctx, []token.VaultRow{{Keyring: "marker", Vault: "marker", Sealed: []byte("marker"), Tags: [][]byte{[]byte("marker")}}})
		require.ErrorIs(t, err, keyring.ErrConflict)
		require.NotContains(t, err.Error(), "marker")
		_, err = f.store.Insert(ctx, []token.VaultRow{{Keyring: "a", Sealed: []byte("x")}, {Keyring: "b", Hash: token.TokenHash{1}, Sealed: []byte("x")}})
		require.ErrorIs(t, err, keyring.ErrConflict, "two keyrings")
		intact(t, f.conn)
		_, err = v.Detokenize(ctx, tok, "a")
		require.NoError(t, err, "the pool goes on")
	})
	t.Run("no text", func(t *testing.T) {
		for _, bad := range []string{"\xff", "a\x00b"} {
			_, err := v.Tokenize(ctx, []byte(onePAN), bad)
			require.Error(t, err)
			_, err = f.store.Load(ctx, bad, []token.TokenHash{{}})
			require.ErrorIs(t, err, keyring.ErrDenied)
			_, err = f.store.Insert(ctx, []token.VaultRow{{Keyring: "app", Vault: bad, Sealed: []byte("x")}})
			require.ErrorIs(t, err, keyring.ErrDenied)
			_, err = f.store.Use(ctx, bad, []token.TokenHash{{}})
			require.ErrorIs(t, err, keyring.ErrDenied)
			require.ErrorIs(t, f.store.Revoke(ctx, bad, token.TokenHash{}), keyring.ErrDenied)
			_, err = f.store.Purge(ctx, "app", bad, 0)
			require.ErrorIs(t, err, keyring.ErrDenied)
		}
	})
	t.Run("bad arguments", func(t *testing.T) {
		_, err := NewVaultStore(ctx, nil, VaultConfig{})
		require.Error(t, err)
		for _, cfg := range []VaultConfig{{MaxConns: -1}, {MaxConns: 1001}, {Schema: strings.Repeat("x", 64)}} {
			_, err = NewVaultStore(ctx, f.conn.Config(), cfg)
			require.Error(t, err)
		}
	})
	t.Run("no more connections than it may have", func(t *testing.T) {
		var n int
		require.NoError(t, f.conn.QueryRow(ctx, `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'sealfield'`).Scan(&n))
		require.LessOrEqual(t, n, 4)
	})
}

// TestVaultKilled kills processes with SIGKILL while they tokenize batches under two
// index keys, and looks for what they left half done.
func TestVaultKilled(t *testing.T) {
	config := parse(t, pgtest.Database(t))
	store := migratedVault(t, config, VaultConfig{})
	keys := open(t, config, Config{})
	path := filepath.Join(t.TempDir(), "key")
	kms, err := localkms.Create(path)
	require.NoError(t, err)
	kr, err := keyring.Create(t.Context(), keyring.Config{Name: "app", Store: keys, KMS: []keyring.KMS{kms}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer kr.Close()
	v := newVault(t, kr, store, token.VaultConfig{Convergent: true})
	before, err := v.TokenizeAll(t.Context(), someValues(500), "")
	require.NoError(t, err)
	_, err = kr.Rotate(t.Context(), keyring.Target{Purpose: keyring.Index}, keyring.RotateOptions{})
	require.NoError(t, err)
	conn := connect(t, config)
	killed := 0
	for round := range 4 {
		var children []*exec.Cmd
		var outs []io.Reader
		for range 3 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "PGXSTORE_VAULT="+config.ConnString(), "PGXSTORE_KEY="+path)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			children, outs = append(children, cmd), append(outs, out)
		}
		for _, out := range outs {
			_, err = out.Read(make([]byte, 1)) // it has begun
			require.NoError(t, err)
		}
		time.Sleep(time.Duration(20+60*round) * time.Millisecond)
		for _, cmd := range children {
			require.NoError(t, cmd.Process.Kill())
			if cmd.Wait() != nil {
				killed++
			}
		}
	}
	require.Positive(t, killed)
	require.Eventually(t, func() bool { // the server's sessions end when they notice
		var n int
		err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'killed'`).Scan(&n)
		return err == nil && n == 0
	}, 20*time.Second, 10*time.Millisecond)
	intact(t, conn)
	var left int
	require.NoError(t, conn.QueryRow(t.Context(), `select count(*) from sealfield.vault_tokens`).Scan(&left))
	require.Greater(t, left, 500, "the processes did nothing before they were killed")
	all, err := v.TokenizeAll(t.Context(), someValues(20000), "")
	require.NoError(t, err)
	require.Equal(t, before, all[:500])
	var tokens int
	require.NoError(t, conn.QueryRow(t.Context(), `select count(*) from sealfield.vault_tokens`).Scan(&tokens))
	require.Equal(t, 20000, tokens, "a token that nobody got")
	intact(t, conn)
	t.Logf("%d processes killed, which had left %d tokens", killed, left-500)
}

// tokenizeUntilKilled tokenizes the values of TestVaultKilled in batches.
func tokenizeUntilKilled(dsn string) error {
	ctx := context.Background()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	config.RuntimeParams["application_name"] = "killed"
	keys, err := New(ctx, config, Config{})
	if err != nil {
		return err
	}
	store, err := NewVaultStore(ctx, config, VaultConfig{})
	if err != nil {
		return err
	}
	kms, err := localkms.Open(os.Getenv("PGXSTORE_KEY"))
	if err != nil {
		return err
	}
	kr, err := keyring.Open(ctx, keyring.Config{Name: "app", Store: keys, KMS: []keyring.KMS{kms}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	v, err := token.NewVault(kr, "convergent", token.VaultConfig{Store: store, Prefix: "pan", Convergent: true})
	if err != nil {
		return err
	}
	values := someValues(20000)
	for n := 0; ; n++ {
		if n == 0 {
			fmt.Println("ready")
		}
		at := n * 200 % len(values)
		if _, err := v.TokenizeAll(ctx, values[at:at+200], ""); err != nil {
			return err
		}
	}
}
