//go:build unix

// Bench prints how Sealfield's hot paths compare with their floor: the same work
// by the standard library alone, with everything cached that can be.
//
// It measures CPU time of the process (garbage collection included), in rounds
// that interleave all cases, and gives the median ratio to the floor of the same
// round with its extremes. Nanoseconds are shown for orientation; on a busy
// machine only the ratios mean something.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/daead"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/kmsaead"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

var (
	rounds = flag.Int("rounds", 11, "rounds, at least 9")
	sample = flag.Duration("sample", 30*time.Millisecond, "CPU time of one case in one round")
	pass   = flag.String("gigabyte", "", "only pass 1 GiB through a stream of \"tink\" or \"envelope\"")
)

var ctx = context.Background()

// work does something n times, with memory of its own, so that several
// goroutines can run what several calls of a maker return.
type work func(n int)

type benchmark struct {
	name string
	goal string
	make func() work
}

// table is a group of benchmarks; the first is the floor of the others.
type table struct {
	name       string
	goroutines int
	rows       []benchmark
}

func main() {
	flag.Parse()
	if *pass != "" {
		passGigabyte(*pass)
		return
	}
	fmt.Printf("%s %s/%s, %d CPUs, %d rounds of %v\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *rounds, *sample)
	for _, t := range slices.Concat(tables(), []table{scopes()}, envelopes(), streams()) {
		t.run()
	}
	fmt.Println()
	gigabyte()
}

func (t table) run() {
	per := make([]int, len(t.rows))
	works := make([][]work, len(t.rows))
	for i, b := range t.rows {
		for range t.goroutines {
			works[i] = append(works[i], b.make())
		}
		per[i] = calibrate(works[i])
	}
	times := make([][]float64, len(t.rows)) // ns per operation, by row and round
	for round := range *rounds {
		for j := range t.rows {
			i := (j + round) % len(t.rows)
			times[i] = append(times[i], measure(works[i], per[i]))
		}
	}
	fmt.Printf("\n%s\n%-44s %9s %7s %15s  %6s  %s\n", t.name, "", "CPU ns", "ratio", "min..max", "allocs", "goal")
	for i, b := range t.rows {
		ratios := make([]float64, *rounds)
		for r := range ratios {
			ratios[r] = times[i][r] / times[0][r]
		}
		slices.Sort(ratios)
		slices.Sort(times[i])
		fmt.Printf("%-44s %9.0f %7.2f %7.2f..%-6.2f  %6.1f  %s\n", b.name, median(times[i]), median(ratios),
			ratios[0], ratios[len(ratios)-1], allocations(works[i][0]), b.goal)
	}
}

func median(sorted []float64) float64 { return sorted[len(sorted)/2] }

func calibrate(works []work) int {
	for n := 64; ; n *= 2 {
		if t := measure(works, n) * float64(n*len(works)); t > float64(*sample)/2 {
			return max(1, int(float64(n)*float64(*sample)/t))
		}
	}
}

// measure returns the CPU time in ns of one of n operations in each goroutine.
func measure(works []work, n int) float64 {
	runtime.GC()
	start := cpuTime()
	var wg sync.WaitGroup
	for _, w := range works {
		wg.Go(func() { w(n) })
	}
	wg.Wait()
	return float64(cpuTime()-start) / float64(n*len(works))
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func allocations(w work) float64 {
	const n = 2000
	w(n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w(n)
	runtime.ReadMemStats(&after)
	return float64(int64(after.Mallocs-before.Mallocs)) / n
}

// Every case seals or opens 64 bytes for a row with an 8-byte key.
func tables() []table {
	kr := newKeyring(keyring.XAES256GCM)
	field, fresh, compact := newField(kr, false), newField(kr, true), newField(newKeyring(keyring.AES256GCM), false)
	oracle, compactOracle := tinkAEAD(field), tinkAEAD(compact)
	floor := gcm()
	row := crypto.Row("12345678")
	at := crypto.Binding{Row: row}
	plaintext := random(64)

	seal := func(name, goal string, f func(dst []byte) []byte) benchmark {
		return benchmark{name, goal, func() work {
			dst := make([]byte, 0, 256)
			return func(n int) {
				for range n {
					f(dst)
				}
			}
		}}
	}
	floorSeal := seal("floor: stdlib AES-256-GCM, same dst", "", func(dst []byte) []byte {
		nonce := dst[:12]
		rand.Read(nonce)
		return floor.Seal(nonce, nonce, plaintext, row)
	})
	appendEncrypt := func(name, goal string, f *crypto.Field) benchmark {
		return seal(name, goal, func(dst []byte) []byte { return must(f.AppendEncrypt(ctx, dst, plaintext, at)) })
	}
	encrypt := func(name, goal string, f *crypto.Field) benchmark {
		return seal(name, goal, func([]byte) []byte { return must(f.Encrypt(ctx, plaintext, at)) })
	}
	tinkEncrypt := func(name string, a tink.AEAD) benchmark {
		return seal(name, "", func([]byte) []byte { return must(a.Encrypt(plaintext, row)) })
	}

	nonce := random(12)
	floorCiphertext := floor.Seal(nonce, nonce, plaintext, row)
	floorOpen := seal("floor: stdlib AES-256-GCM, same dst", "", func(dst []byte) []byte {
		return must(floor.Open(dst, floorCiphertext[:12], floorCiphertext[12:], row))
	})
	appendDecrypt := func(name, goal string, f *crypto.Field, ciphertexts [][]byte) benchmark {
		return benchmark{name, goal, func() work {
			dst := make([]byte, 0, 256)
			next := new([16]int) // a cache line of its own
			return func(n int) {
				i := next[0]
				for range n {
					must(f.AppendDecrypt(ctx, dst, ciphertexts[i], at))
					if i++; i == len(ciphertexts) {
						i = 0
					}
				}
				next[0] = i
			}
		}}
	}
	one := [][]byte{must(field.Encrypt(ctx, plaintext, at))}
	oneCompact := [][]byte{must(compact.Encrypt(ctx, plaintext, at))}
	// Many processes, or many runs of one, have written what is read; each
	// row has a keyring of its own, and so the whole cache.
	manySalts := func(n int) benchmark {
		f, cts := newField(newKeyring(keyring.XAES256GCM), true), make([][]byte, n)
		for i := range cts {
			cts[i] = must(f.Encrypt(ctx, plaintext, at))
		}
		return appendDecrypt(fmt.Sprintf("Field.AppendDecrypt, %d salts", n), "", f, cts)
	}
	tinkCiphertext := must(oracle.Encrypt(plaintext, row))
	compactTinkCiphertext := must(compactOracle.Encrypt(plaintext, row))

	index := must(token.NewIndex(kr, "customers.email", token.IndexConfig{}))
	email := must(token.NewIndex(kr, "customers.email", token.IndexConfig{Normalizer: token.Email}))
	value := []byte("ann.longname.somebody@a-company-with-a-long-name.example.com/123")
	macKey := random(32)
	tinkMAC := newTinkMAC()

	det := must(token.NewDeterministic(kr, "customers.iban", token.DeterministicConfig{}))
	short, kilobyte := random(16), random(1024)
	detToken := must(det.Tokenize(ctx, short, nil, ""))
	tinkSIV := must(daead.New(must(det.TinkKeyset(ctx, "", insecuresecretdataaccess.Token{}))))

	sealRows := []benchmark{floorSeal, appendEncrypt("Field.AppendEncrypt", "<= 1.15, 0 allocs", field), appendEncrypt("Field.AppendEncrypt, AES-256-GCM key", "", compact)}
	openRows := []benchmark{floorOpen, appendDecrypt("Field.AppendDecrypt", "<= 1.15, 0 allocs", field, one), appendDecrypt("Field.AppendDecrypt, AES-256-GCM key", "", compact, oneCompact)}
	return []table{
		{"Encrypt 64 B into a given slice", 1, append(slices.Clone(sealRows), appendEncrypt("Field.AppendEncrypt, FreshSalt", "", fresh))},
		{"Encrypt 64 B into a given slice, 2 goroutines", 2, sealRows},
		{"Decrypt 64 B into a given slice", 1, append(slices.Clone(openRows),
			manySalts(100), manySalts(10_000), manySalts(100_000))},
		{"Decrypt 64 B into a given slice, 2 goroutines", 2, openRows},
		{"Encrypt 64 B into a fresh slice", 1, []benchmark{
			seal("floor: stdlib AES-256-GCM, fresh dst", "", func([]byte) []byte {
				dst := make([]byte, 12, 12+64+16)
				rand.Read(dst)
				return floor.Seal(dst, dst, plaintext, row)
			}),
			encrypt("Field.Encrypt", "<= 1.15, 1 alloc", field),
			encrypt("Field.Encrypt, AES-256-GCM key", "", compact),
			tinkEncrypt("Tink XAES-256-GCM", oracle),
			tinkEncrypt("Tink AES-256-GCM", compactOracle),
		}},
		{"Decrypt 64 B into a fresh slice", 1, []benchmark{
			seal("floor: stdlib AES-256-GCM, fresh dst", "", func([]byte) []byte {
				return must(floor.Open(nil, floorCiphertext[:12], floorCiphertext[12:], row))
			}),
			seal("Field.Decrypt", "", func([]byte) []byte { return must(field.Decrypt(ctx, one[0], at)) }),
			seal("Tink XAES-256-GCM", "", func([]byte) []byte { return must(oracle.Decrypt(tinkCiphertext, row)) }),
			seal("Tink AES-256-GCM", "", func([]byte) []byte { return must(compactOracle.Decrypt(compactTinkCiphertext, row)) }),
		}},
		{"Index tag of 64 B", 1, []benchmark{
			{"floor: stdlib HMAC-SHA256, kept state", "", func() work {
				h, sum := hmac.New(sha256.New, macKey), make([]byte, 0, 32)
				return func(n int) {
					for range n {
						h.Reset()
						h.Write(value)
						h.Sum(sum)
					}
				}
			}},
			seal("Index.AppendTag, identity/1", "<= 1.2, 0 allocs", func(dst []byte) []byte { return must(index.AppendTag(ctx, dst, value, "")) }),
			seal("Index.AppendTag, email/1", "", func(dst []byte) []byte { return must(email.AppendTag(ctx, dst, value, "")) }),
			seal("Tink HMAC-SHA256-128", "", func([]byte) []byte { return must(tinkMAC.ComputeMAC(value)) }),
		}},
		formatTable(kr),
		{"Deterministic token of 16 B", 1, []benchmark{
			seal("floor: Tink AES-SIV", "", func([]byte) []byte { return must(tinkSIV.EncryptDeterministically(short, nil)) }),
			seal("Deterministic.Tokenize", "<= 0.75, 2 allocs", func([]byte) []byte { return must(det.Tokenize(ctx, short, nil, "")) }),
			seal("Deterministic.AppendTokenize", "", func(dst []byte) []byte { return must(det.AppendTokenize(ctx, dst, short, nil, "")) }),
			seal("Deterministic.Tokenize, 1 KiB", "", func([]byte) []byte { return must(det.Tokenize(ctx, kilobyte, nil, "")) }),
			seal("Tink AES-SIV, 1 KiB", "", func([]byte) []byte { return must(tinkSIV.EncryptDeterministically(kilobyte, nil)) }),
		}},
		{"Value of a deterministic token of 16 B", 1, []benchmark{
			seal("floor: Tink AES-SIV", "", func([]byte) []byte { return must(tinkSIV.DecryptDeterministically(detToken, nil)) }),
			seal("Deterministic.Detokenize", "<= 0.75, 2 allocs", func([]byte) []byte { return must(det.Detokenize(ctx, detToken, nil, "")) }),
			seal("Deterministic.AppendDetokenize", "", func(dst []byte) []byte { return must(det.AppendDetokenize(ctx, dst, detToken, nil, "")) }),
		}},
	}
}

// memoryKMS is a KEK in memory.
type memoryKMS struct{ *kmsaead.Key }

func (memoryKMS) URI() string { return "memory:bench" }
func (k memoryKMS) Wrap(_ context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	return k.Key.Wrap(key, ec.Encode()), nil
}
func (k memoryKMS) Unwrap(_ context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	return k.Key.Unwrap(wrapped, ec.Encode())
}

func newTinkMAC() tink.MAC {
	return must(mac.New(must(keyset.NewHandle(mac.HMACSHA256Tag128KeyTemplate()))))
}

func newKeyring(a keyring.Algorithm) *keyring.Keyring {
	kms := memoryKMS{must(kmsaead.New(random(kmsaead.KeySize)))}
	return must(keyring.Create(ctx, keyring.Config{Name: "bench", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{kms}, Algorithm: a}))
}

func newField(kr *keyring.Keyring, freshSalt bool) *crypto.Field {
	f := must(crypto.NewField(kr, "customers.email", crypto.FieldConfig{FreshSalt: freshSalt}))
	must(f.Encrypt(ctx, nil, crypto.Binding{}))
	return f
}

func tinkAEAD(f *crypto.Field) tink.AEAD {
	return must(aead.New(must(f.TinkKeyset(ctx, "", insecuresecretdataaccess.Token{}))))
}

func gcm() cipher.AEAD { return must(cipher.NewGCM(must(aes.NewCipher(random(32))))) }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Print(err)
		os.Exit(1)
	}
}
