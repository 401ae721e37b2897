package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestRootServesItsPurposeOnly has a process that holds the root key for masking
// and may write the store plant a key for encryption, of bytes that it knows.
func TestRootServesItsPurposeOnly(t *testing.T) {
	f := newFixture()
	kr := f.create(t)
	id := use(kr, keyring.Encryption).mustEncrypt(t, "")
	_, rows := f.store.Snapshot()
	planted := rows[0]
	planted.Version, planted.ID = 2, 0x80000007
	planted, err := keyring.Forge(t.Context(), kr, planted, keyring.Masking, make([]byte, 32))
	require.NoError(t, err)
	f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { *keys = append(*keys, planted) })

	cold := f.open(t)
	unwraps := f.kms.Unwraps()
	aboutKey(t, kr.Refresh(t.Context()), planted.ID, keyring.ErrTampered)
	for _, kr := range []*keyring.Keyring{kr, cold} {
		k := use(kr, keyring.Encryption)
		_, err := k.encrypt("")
		aboutKey(t, err, planted.ID, keyring.ErrTampered)
		aboutKey(t, k.decrypt("", planted.ID), planted.ID, keyring.ErrTampered)
		require.NoError(t, k.decrypt("", id))
		_, err = kr.Rotate(t.Context(), encryption, keyring.RotateOptions{})
		aboutKey(t, err, planted.ID, keyring.ErrTampered)
	}
	require.Equal(t, unwraps+1, f.kms.Unwraps(), "and the wrong root is not even unwrapped")
}

// TestForgedRoot puts a root of a higher version beside the real ones, wrapped
// by nobody, and a row that names it.
func TestForgedRoot(t *testing.T) {
	f := newFixture()
	kr := f.create(t)
	id := use(kr, keyring.Encryption).mustEncrypt(t, "")
	f.store.Edit(func(roots *[]keyring.Root, keys *[]keyring.Key) {
		r := (*roots)[0]
		r.Version, r.ID = 2, 0x80000003
		r.Wraps = []keyring.Wrap{{URI: f.kms.URI(), Wrapped: make([]byte, 60)}}
		*roots = append(*roots, r)
		(*keys)[0].Root, (*keys)[0].Revision = r.ID, 2
	})
	err := kr.Refresh(t.Context())
	aboutKey(t, err, id, keyring.ErrTampered)
	require.NoError(t, use(kr, keyring.Encryption).decrypt("", id))
	_, err = use(kr, keyring.Encryption).encrypt("")
	aboutKey(t, err, id, keyring.ErrTampered)

	cold := use(f.open(t), keyring.Encryption)
	err = cold.decrypt("", id)
	aboutKey(t, err, id, keyring.ErrDenied, "the KMS says so")
	require.ErrorContains(t, err, "80000003")
	_, err = cold.encrypt("")
	aboutKey(t, err, id, keyring.ErrDenied)
}

// TestEvictionUnderLoad has many use more scopes than are kept: what one loads is
// evicted by the next before he finds it. That is no unknown key, and nothing that
// Shred may overlook.
func TestEvictionUnderLoad(t *testing.T) {
	const scopes, readers, shredders = 12, 12, 4
	f := newFixture()
	f.cfg.Scoped = true
	maker := f.create(t)
	var ids [scopes]map[keyring.Purpose]keyring.KeyID
	for i := range ids {
		ids[i] = inAllPurposes(t, maker, fmt.Sprint(i))
	}
	for i := range shredders * 20 {
		inAllPurposes(t, maker, fmt.Sprint("gone ", i))
	}
	kr := f.open(t)
	keyring.LimitScopes(kr, 1)
	errs := make([]error, readers+shredders)
	race(len(errs), func(g int) {
		for i := 0; i < 500 && g < readers && errs[g] == nil; i++ {
			n, p := (7*g+i)%scopes, keyring.Purposes()[i%4]
			errs[g] = use(kr, p).decrypt(fmt.Sprint(n), ids[n][p])
			if id, err := use(kr, p).encrypt(fmt.Sprint(n)); err != nil || id != ids[n][p] {
				errs[g] = errors.Join(errs[g], err, fmt.Errorf("encrypts under %s", id))
			}
		}
		for i := g - readers; i >= 0 && i < 20*shredders && errs[g] == nil; i += shredders {
			var report keyring.ShredReport
			report, errs[g] = kr.Shred(background, fmt.Sprint("gone ", i), byAnn)
			if len(report.Keys) != 4 {
				errs[g] = errors.Join(errs[g], fmt.Errorf("%d keys of 4", len(report.Keys)))
			}
		}
	})
	require.NoError(t, errors.Join(errs...))
	_, keys := f.store.Snapshot()
	for _, k := range keys {
		require.Equal(t, strings.HasPrefix(k.Scope, "gone"), k.State == keyring.KeyDestroyed, k.Scope)
	}
	require.NotContains(t, f.log.String(), "level=ERROR")
}

// TestEvictionDuringRefresh evicts scopes while loads of them are on their way.
// An evicted entry, whose keys are wiped, must not come back.
func TestEvictionDuringRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.Scoped = true
		kr := f.create(t)
		k := use(kr, keyring.Encryption)
		id := k.mustEncrypt(t, "t")
		f.store.SetAround(func(_ context.Context, operation string, do func() error) error {
			err := do()
			keyring.Evict(kr, keyring.Encryption) // after the targets were chosen
			return err
		})
		require.NoError(t, kr.Refresh(t.Context()))
		f.store.SetAround(nil)
		require.NoError(t, k.decrypt("t", id))
		require.Equal(t, id, k.mustEncrypt(t, "t"))

		for range 3 {
			keyring.Evict(kr, keyring.Encryption)
			require.NoError(t, k.decrypt("t", id))
		}
	})
	for _, scoped := range []bool{true, false} {
		f := newFixture()
		f.cfg.Scoped = scoped
		kr := f.create(t)
		target := keyring.Target{Scope: map[bool]string{true: "t"}[scoped], Purpose: keyring.Encryption}
		k := use(kr, keyring.Encryption)
		id := k.mustEncrypt(t, target.Scope)
		keyring.MergeAfterEviction(t.Context(), kr, target)
		require.NoError(t, k.decrypt(target.Scope, id))
		require.Equal(t, id, k.mustEncrypt(t, target.Scope))
		require.NotContains(t, f.log.String(), "level=ERROR")
	}
}

// TestOutageIsNotUnknown has a process that remembers that a scope has no key,
// while another makes one and the first one's KMS is down: it does not know the
// key, and must not say that nobody does.
func TestOutageIsNotUnknown(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	f.create(t)
	kr, writer := f.open(t), f.open(t)
	k := use(kr, keyring.Encryption)
	aboutKey(t, k.decrypt("t", 0x80000001), 0x80000001, keyring.ErrUnknownKey)
	id := use(writer, keyring.Encryption).mustEncrypt(t, "t")
	f.kms.SetHook(func(context.Context, string) ([]byte, error) { return nil, keyring.ErrUnavailable })
	for range 3 {
		err := k.decrypt("t", id)
		aboutKey(t, err, id, keyring.ErrUnavailable)
		require.NotErrorIs(t, err, keyring.ErrUnknownKey)
		_, err = k.encrypt("t")
		require.ErrorIs(t, err, keyring.ErrUnavailable)
	}
	require.NotContains(t, f.log.String(), "level=ERROR", "an outage is no alarm")
	f.kms.SetHook(nil)
	require.NoError(t, k.decrypt("t", id))
	require.Equal(t, id, k.mustEncrypt(t, "t"))
}

// TestColdLoadIsNotUnknown has a caller join a cold load that read the store
// before the caller's key was made.
func TestColdLoadIsNotUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		writer := f.create(t)
		use(writer, keyring.Encryption).mustEncrypt(t, "")
		k := use(f.open(t), keyring.Encryption)
		var held atomic.Bool
		f.store.SetAround(func(_ context.Context, operation string, do func() error) error {
			err := do()
			if held.CompareAndSwap(true, false) {
				time.Sleep(2 * time.Second)
			}
			return err
		})
		held.Store(true)
		first := make(chan error)
		go func() { _, err := k.encrypt(""); first <- err }()
		synctest.Wait()
		id := rotate(t, writer, encryption, keyring.RotateOptions{Immediate: true})
		require.NoError(t, k.decrypt("", id))
		require.NoError(t, <-first)
	})
}

// TestHangingKMSIsWaitedForOnce opens a scope of many versions while the KMS
// hangs: one call, one time limit, for any number of rows and callers.
func TestHangingKMSIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		id := use(kr, keyring.Encryption).mustEncrypt(t, "")
		for range 9 {
			rotate(t, kr, encryption, keyring.RotateOptions{Immediate: true})
		}
		cold := use(f.open(t), keyring.Encryption)
		release := make(chan struct{})
		f.kms.SetHook(func(context.Context, string) ([]byte, error) { <-release; return nil, nil }) // ignores its context
		begun, unwraps := time.Now(), f.kms.Unwraps()
		errs := make(chan error, 100)
		for range 100 {
			go func() { errs <- cold.decrypt("", id) }()
		}
		for range 100 {
			require.ErrorIs(t, <-errs, keyring.ErrUnavailable)
		}
		t.Logf("10 versions, 100 callers: %v, %d KMS call", time.Since(begun), f.kms.Unwraps()-unwraps)
		require.Equal(t, 5*time.Second, time.Since(begun))
		require.Equal(t, unwraps+1, f.kms.Unwraps())

		begun = time.Now()
		require.NoError(t, use(kr, keyring.Encryption).decrypt("", id))
		use(kr, keyring.Encryption).mustEncrypt(t, "")
		require.Zero(t, time.Since(begun), "a warm key never waits")
		close(release)
		f.kms.SetHook(nil)
		require.NoError(t, cold.decrypt("", id), "a failure is not remembered")
	})
}

// TestWrongAnswersAreNotRemembered gives wrong answers of the KMS to a process
// that has nothing in memory, and to one that has an older key.
func TestWrongAnswersAreNotRemembered(t *testing.T) {
	for name, answer := range map[string]func() ([]byte, error){
		"empty":   func() ([]byte, error) { return []byte{}, nil },
		"short":   func() ([]byte, error) { return make([]byte, 31), nil },
		"long":    func() ([]byte, error) { return make([]byte, 10<<20), nil },
		"another": func() ([]byte, error) { return make([]byte, 32), nil },
		"denied":  func() ([]byte, error) { return nil, fmt.Errorf("%w: by policy", keyring.ErrDenied) },
		"untyped": func() ([]byte, error) { return nil, errors.New("500") },
	} {
		f := newFixture()
		kr := f.create(t)
		id := use(kr, keyring.Encryption).mustEncrypt(t, "")
		cold := use(f.open(t), keyring.Encryption)
		f.kms.SetHook(func(context.Context, string) ([]byte, error) { return answer() })
		for range 2 {
			err := cold.decrypt("", id)
			want := keyring.ErrTampered
			switch name {
			case "denied":
				want = keyring.ErrDenied
			case "untyped":
				want = keyring.ErrUnavailable
			}
			aboutKey(t, err, id, want, name)
			require.ErrorContains(t, err, f.kms.URI(), "the KMS is named")
			_, err = cold.encrypt("")
			require.ErrorIs(t, err, want, name)
		}
		f.kms.SetHook(nil)
		require.Equal(t, id, cold.mustEncrypt(t, ""), name)
		require.NoError(t, cold.decrypt("", id), name)
		_, rows := f.store.Snapshot()
		require.Len(t, rows, 1, "no new key in place of one that can not be had")
	}
}

// TestKeyOfUnknownStateIsReported changes a key's state under a root that this
// process can not unwrap now: it goes on with what it knows, and says so.
func TestKeyOfUnknownStateIsReported(t *testing.T) {
	f := newFixture()
	warm := f.create(t)
	id := use(warm, keyring.Encryption).mustEncrypt(t, "")
	f.store.Edit(func(roots *[]keyring.Root, keys *[]keyring.Key) {
		r := (*roots)[0]
		r.ID, r.Version = 0x80000009, 2
		*roots = append(*roots, r)
		(*keys)[0].Root, (*keys)[0].Revision = r.ID, 2
	})
	f.kms.SetHook(func(context.Context, string) ([]byte, error) { return nil, keyring.ErrUnavailable })
	aboutKey(t, warm.Refresh(t.Context()), id, keyring.ErrUnavailable)
	require.NoError(t, use(warm, keyring.Encryption).decrypt("", id))
	require.Equal(t, id, use(warm, keyring.Encryption).mustEncrypt(t, ""))
}

// TestInsertThatHangs has the store write the row and then not answer.
func TestInsertThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		use(kr, keyring.Encryption).mustEncrypt(t, "")
		f.store.SetAround(func(ctx context.Context, operation string, do func() error) error {
			err := do()
			if operation == "insert" {
				<-ctx.Done()
				return errors.New("no answer") // untyped, too
			}
			return err
		})
		for n := 2; n < 4; n++ {
			id := rotate(t, kr, encryption, keyring.RotateOptions{})
			infos, err := kr.Keys(t.Context(), encryption)
			require.NoError(t, err)
			require.Len(t, infos, n)
			require.Equal(t, id, infos[n-1].ID)
		}
	})
}

// TestCancelledCallers gives up in the middle of shared loads and unwraps.
func TestCancelledCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		id := use(kr, keyring.Encryption).mustEncrypt(t, "")
		cold := use(f.open(t), keyring.Encryption)
		f.kms.SetHook(func(ctx context.Context, _ string) ([]byte, error) {
			select {
			case <-time.After(3 * time.Second):
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		loads, unwraps := f.store.Loads.Load(), f.kms.Unwraps()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gaveUp, patient := make(chan error), make(chan error)
		for range 10 {
			go func() { _, err := cold.ByID(impatient, "", id); gaveUp <- err }()
		}
		synctest.Wait()
		for range 10 {
			go func() { patient <- cold.decrypt("", id) }()
		}
		for range 10 {
			err := <-gaveUp
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, crypto.ErrDecrypt)
		}
		for range 10 {
			require.NoError(t, <-patient)
		}
		require.Equal(t, 1, f.kms.Unwraps()-unwraps)
		require.EqualValues(t, 1, f.store.Loads.Load()-loads)
	})
}

// TestUnknownIDsAreBounded floods one scope and checks that another is not
// disturbed, that the memory is bounded, and that a real new key still comes.
func TestUnknownIDsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.Scoped = true
		writer := f.create(t)
		use(writer, keyring.Encryption).mustEncrypt(t, "flooded")
		use(writer, keyring.Encryption).mustEncrypt(t, "other")
		kr := f.open(t)
		k := use(kr, keyring.Encryption)
		k.mustEncrypt(t, "flooded")
		k.mustEncrypt(t, "other")
		time.Sleep(time.Second)
		loads, unwraps := f.store.Loads.Load(), f.kms.Unwraps()
		for i := range 100_000 {
			err := k.decrypt("flooded", 0x90000000+keyring.KeyID(i))
			require.True(t, errors.Is(err, keyring.ErrUnknownKey) || errors.Is(err, keyring.ErrUnavailable))
		}
		require.EqualValues(t, 20, f.store.Loads.Load()-loads, "the burst, as no time has passed")
		require.Equal(t, unwraps, f.kms.Unwraps())
		require.LessOrEqual(t, keyring.UnknownIDs(kr), 1024)
		id := rotate(t, writer, keyring.Target{Scope: "other", Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
		require.NoError(t, k.decrypt("other", id), "other scopes have a limit of their own")

		id = rotate(t, writer, keyring.Target{Scope: "flooded", Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
		require.ErrorIs(t, k.decrypt("flooded", id), keyring.ErrUnavailable, "not unknown: it was not looked for")
		time.Sleep(70 * time.Second) // a refresh
		for i := range 100_000 {
			k.decrypt("flooded", 0xa0000000+keyring.KeyID(i))
		}
		require.NoError(t, k.decrypt("flooded", id), "a refresh brings it, flood or not")
	})
}

// TestVanishedKey deletes a row: the key stays readable where it is in memory
// and is never used to encrypt.
func TestVanishedKey(t *testing.T) {
	f := newFixture()
	warm := f.create(t)
	k := use(warm, keyring.Encryption)
	id := k.mustEncrypt(t, "")
	_, rows := f.store.Snapshot()
	f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { *keys = nil })
	aboutKey(t, warm.Refresh(t.Context()), id, keyring.ErrTampered)
	require.ErrorContains(t, warm.Refresh(t.Context()), "gone")
	require.NoError(t, k.decrypt("", id))
	_, err := k.encrypt("")
	aboutKey(t, err, id, keyring.ErrTampered)
	live, err := k.Live(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, live, 1)
	_, err = warm.Keys(t.Context(), encryption)
	aboutKey(t, err, id, keyring.ErrTampered)
	_, err = warm.Rotate(t.Context(), encryption, keyring.RotateOptions{})
	aboutKey(t, err, id, keyring.ErrTampered)
	f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { *keys = rows })
	require.NoError(t, warm.Refresh(t.Context()), "put back, it is as before")
	require.Equal(t, id, k.mustEncrypt(t, ""))
}

// TestTwoKMSOfWhichOneIsDown opens through the second whatever the first says.
func TestTwoKMSOfWhichOneIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		second := keyringtest.NewKMS()
		f.cfg.KMS = append(f.cfg.KMS, second)
		id := use(f.create(t), keyring.Encryption).mustEncrypt(t, "")
		for name, hook := range map[string]keyringtest.Hook{
			"hangs":  func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
			"denies": func(context.Context, string) ([]byte, error) { return nil, keyring.ErrDenied },
			"lies":   func(context.Context, string) ([]byte, error) { return make([]byte, 32), nil },
		} {
			f.kms.SetHook(hook)
			require.NoError(t, use(f.open(t), keyring.Encryption).decrypt("", id), name)
		}
	})
}
