package fpe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/sealfield/sealfield/internal/pae"
)

// tables permute domains that are too small for FF1. Each is a shuffled list of
// all numbers, made when it is first needed, in about 10 ms per million.
type tables struct {
	seed    func(label []byte) []byte // has the key
	reserve func(int64) bool

	mu   sync.Mutex // serialises the making of tables
	kept atomic.Pointer[map[string]*table]
}

// table is a permutation and its inverse.
type table struct{ to, from []uint32 }

func newTables(k Keys) *tables {
	key := append([]byte(nil), k.Permute...)
	t := &tables{reserve: k.Reserve}
	t.seed = func(label []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(label)
		return mac.Sum(nil)
	}
	t.kept.Store(&map[string]*table{})
	return t
}

// crypt permutes the numbers below n under the tweak.
func (t *tables) crypt(x, n uint32, tweak []byte, decrypt bool) uint32 {
	var room [2 * maxValue]byte
	key := append(binary.BigEndian.AppendUint32(room[:0], n), tweak...)
	found := (*t.kept.Load())[string(key)]
	if found == nil {
		found = t.make(n, tweak, key)
	}
	if decrypt {
		return found.from[x]
	}
	return found.to[x]
}

func (t *tables) make(n uint32, tweak, key []byte) *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.kept.Load()
	if found := old[string(key)]; found != nil {
		return found
	}
	made := newTable(t.seed(pae.Encode("permute/1", strconv.Itoa(int(n)), string(tweak))), n)
	if t.reserve != nil && t.reserve(8*int64(n)) {
		all := maps.Clone(old)
		all[string(key)] = made
		t.kept.Store(&all)
	}
	return made
}

// newTable shuffles the numbers below n (Fisher and Yates; Knuth, TAOCP volume
// 2, 3.4.2, algorithm P): from the last place down, each changes with one of
// those up to itself. The choices are words of 32 bits, big endian, of AES-256 in
// counter mode from zero; a word of the incomplete last run of choices is passed
// over, so that all permutations are equally likely.
func newTable(seed []byte, n uint32) *table {
	t := &table{make([]uint32, n), make([]uint32, n)}
	for i := range t.to {
		t.to[i] = uint32(i)
	}
	next := words(seed)
	for i := n - 1; i > 0; i-- {
		choices := uint64(i) + 1
		limit := 1 << 32 / choices * choices
		w := uint64(next())
		for w >= limit {
			w = uint64(next())
		}
		j := w % choices
		t.to[i], t.to[j] = t.to[j], t.to[i]
	}
	for i, x := range t.to {
		t.from[x] = uint32(i)
	}
	return t
}

// words returns the function that gives one random word after the other.
func words(seed []byte) func() uint32 {
	block, err := aes.NewCipher(seed)
	if err != nil {
		panic(err) // the seed is 32 bytes
	}
	stream := cipher.NewCTR(block, make([]byte, aes.BlockSize))
	var buf [4096]byte
	rest := buf[:0]
	return func() uint32 {
		if len(rest) == 0 {
			clear(buf[:])
			stream.XORKeyStream(buf[:], buf[:])
			rest = buf[:]
		}
		w := binary.BigEndian.Uint32(rest)
		rest = rest[4:]
		return w
	}
}
