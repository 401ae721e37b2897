package token

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/internal/secret"
	"github.com/sealfield/sealfield/keyring"
)

// TagSize is the length of an index tag in bytes; of one with fewer than 128
// bits see Index.Size.
const TagSize = 21

const (
	prefixSize = 5       // 0x01 and the key id
	maxBits    = 8 * 16  // of HMAC-SHA256 in a tag
	maxLength  = 64      // of prefixes and suffixes
	maxTags    = 1 << 10 // of one value
)

// Kind says what an index can be asked.
type Kind string

// The kinds of index.
const (
	// Exact finds equal values. A value has one tag, stored as bytea, with a
	// btree index, and looked for with "column = any($1)".
	Exact Kind = "exact"

	// Prefix and Suffix find the values that begin or end with a text of Min
	// to Max characters. A value has a tag for each such length, stored as
	// bytea[], with a GIN index, and looked for with "column && $1".
	//
	// They show which values share a beginning (an end), how long it is, and
	// how long short values are: enough to recognise common names by their
	// numbers. Do not use them for what is drawn from a small dictionary.
	Prefix Kind = "prefix"
	Suffix Kind = "suffix"

	// NGram finds the values that contain a text of 3 characters or more. A
	// value has a tag for each different run of 3 characters (a trigram),
	// stored as bytea[] with a GIN index. A row may hold all trigrams of a text
	// without the text, so it is searched by pgxfield's Search only.
	//
	// It shows which values share trigrams, and how many each has. Somebody
	// who knows the language, or some of the texts, reads much of the rest: of
	// all kinds it shows the most. Prefer Prefix where that will do.
	NGram Kind = "ngram"
)

// Index makes the tags of one blind index. It is safe for concurrent use.
type Index struct {
	name string
	cfg  IndexConfig
	keys *keyring.Derivation[indexKey]
}

// IndexConfig says what the index compares. Everything in it is part of the
// index key: an index whose configuration changes finds nothing that was written
// before, rather than some of it, and has to be filled anew.
type IndexConfig struct {
	// Normalizer is applied to every value that is written or looked for.
	// Defaults to Identity.
	Normalizer Normalizer

	// Kind is what the index can be asked. Defaults to Exact.
	Kind Kind

	// Bits of HMAC in a tag of an Exact index, 1 to 128. Defaults to 128.
	//
	// With fewer, different values share tags, so that a tag does not prove
	// that a guessed value is in the table. It is a choice for privacy that
	// costs rows (package token/plan counts them): each search also fetches
	// the rows that share the tag, and pgxfield's Search is the only door, as
	// it compares what it fetched. It does not hide which values are common.
	Bits int

	// Min and Max are the lengths of the prefixes or suffixes that can be
	// looked for, in characters (Unicode code points) of the normalized
	// value, at most 64. Default to 3 and 8. The shorter Min is, the more
	// rows share a tag, and the more a reader of the column learns; with Max,
	// the index grows. Search also takes a text that is longer than Max.
	Min, Max int
}

// ErrLossy says that the rows with the tags of a search would not all be right,
// so that tags alone can not answer it. pgxfield's Search can.
var ErrLossy = errors.New("the index is lossy: its tags find rows that do not match, search with pgxfield's Search")

// ErrQuery says that the index can not be asked for a text: it is too short, or
// looks like a pattern.
var ErrQuery = errors.New("the index can not be searched for this")

// NewIndex returns the index of that name. The name is logical, such as
// "customers.email", and part of the key together with cfg: indexes of different
// names share no tag, and one whose name or configuration changes finds nothing
// that was written before. Names that begin with "sealfield/" are reserved. The
// keyring's Index purpose gives the keys.
func NewIndex(kr *keyring.Keyring, name string, cfg IndexConfig) (*Index, error) {
	if err := checkName("NewIndex", kr, name); err != nil {
		return nil, err
	}
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("token: index %s: %w", name, err)
	}
	x := &Index{name: name, cfg: cfg}
	label := string(pae.Encode(append([]string{"index", name}, cfg.detail()...)...))
	x.keys = keyring.NewDerivation(derive.Access{}, kr, keyring.Index, label, x.newKey)
	return x, nil
}

func checkName(function string, kr *keyring.Keyring, name string) error {
	switch {
	case kr == nil:
		return fmt.Errorf("token: %s needs a keyring", function)
	case name == "":
		return fmt.Errorf("token: %s needs a name", function)
	case strings.HasPrefix(name, "sealfield/"):
		return fmt.Errorf("token: %s: name %q is reserved", function, name)
	}
	return nil
}

// complete sets the defaults and checks the rest.
func (c *IndexConfig) complete() error {
	if c.Normalizer == nil {
		c.Normalizer = Identity
	}
	if c.Kind == "" {
		c.Kind = Exact
	}
	if c.Bits == 0 {
		c.Bits = maxBits
	}
	switch c.Kind {
	case Exact, NGram:
		if c.Min != 0 || c.Max != 0 {
			return fmt.Errorf("config.Min and Config.Max are for Prefix and Suffix, not for %s", c.Kind)
		}
	case Prefix, Suffix:
		if c.Min == 0 {
			c.Min = 3
		}
		if c.Max == 0 {
			c.Max = 8
		}
		if c.Min < 1 || c.Min > c.Max || c.Max > maxLength {
			return fmt.Errorf("config.Min and Config.Max are %d and %d: there has to be 1 <= Min <= Max <= %d", c.Min, c.Max, maxLength)
		}
	default:
		return fmt.Errorf("config.Kind: there is no kind %q", c.Kind)
	}
	several, isCompound := c.Normalizer.(*compound)
	switch {
	case c.Bits < 1 || c.Bits > maxBits:
		return fmt.Errorf("config.Bits is %d, not 1 to %d", c.Bits, maxBits)
	case c.Kind != Exact && c.Bits != maxBits:
		return fmt.Errorf("config.Bits is for Exact, not for %s", c.Kind)
	case isCompound && c.Kind != Exact:
		return fmt.Errorf("a compound index has to be Exact, not %s", c.Kind)
	case isCompound && len(several.parts) < 2:
		return errors.New("a compound index is over two values or more")
	}
	return nil
}

// detail is what of the configuration stands in the key's derivation.
func (c *IndexConfig) detail() []string {
	d := []string{string(c.Kind), c.Normalizer.ID(), fmt.Sprint(c.Bits)}
	switch c.Kind {
	case Prefix, Suffix:
		d = append(d, fmt.Sprint(c.Min), fmt.Sprint(c.Max))
	case NGram:
		d = append(d, fmt.Sprint(gramSize))
	}
	return d
}

// Name returns the index's name.
func (x *Index) Name() string { return x.name }

// Config returns the configuration with the defaults filled in.
func (x *Index) Config() IndexConfig { return x.cfg }

// Size returns the length of the index's tags in bytes: 0x01, key id, and as
// many bytes as hold the bits.
func (x *Index) Size() int { return prefixSize + (x.cfg.Bits+7)/8 }

// Tag returns the tag of value under the active key, to be stored: Size bytes
// in a new slice. An empty value has a tag; the tag of NULL is NULL, which is the
// caller's to keep so. scope is empty unless the keyring is scoped. The index
// must be Exact.
func (x *Index) Tag(ctx context.Context, value []byte, scope string) ([]byte, error) {
	return x.AppendTag(ctx, make([]byte, 0, x.Size()), value, scope)
}

// AppendTag appends the tag to dst and returns the extended slice, or nil and
// an error. It allocates nothing if dst has room for Size bytes, whatever the
// length of the value, and its Normalizer does not.
func (x *Index) AppendTag(ctx context.Context, dst, value []byte, scope string) ([]byte, error) {
	if x.cfg.Kind != Exact {
		return nil, x.error(fmt.Errorf("it is of kind %s, whose values have several tags: call Tags", x.cfg.Kind))
	}
	k, err := x.keys.Active(ctx, scope)
	if err == nil {
		dst, err = k.append(dst, value, x.cfg.Normalizer)
	}
	if err != nil {
		return nil, x.error(err)
	}
	return dst, nil
}

// Tags returns all tags of value under the active key, to be stored as bytea[]:
// in a new slice, each once, in ascending order, which tells nothing of their
// order in the value. A value that is too short to be found has none, and the
// slice is empty and not nil; one with more than 1,024 is an ErrValue. The index
// must be of kind Prefix, Suffix or NGram, and the value valid UTF-8.
func (x *Index) Tags(ctx context.Context, value []byte, scope string) ([][]byte, error) {
	if x.cfg.Kind == Exact {
		return nil, x.error(errors.New("it is of kind exact, whose values have one tag: call Tag"))
	}
	k, err := x.keys.Active(ctx, scope)
	if err != nil {
		return nil, x.error(err)
	}
	text, err := x.normalize(value)
	if err != nil {
		return nil, x.error(err)
	}
	defer clear(text)
	pieces := x.cfg.pieces(text)
	if len(pieces) > maxTags {
		return nil, x.error(fmt.Errorf("%w: it has more than %d tags", ErrValue, maxTags))
	}
	return k.set(pieces), nil
}

// Match returns the tags that rows with this value may have: one under each key
// that is not destroyed, so that rows are found before, during and after a
// rotation. It is the argument of "column = any($1)", or, for kinds Prefix and
// Suffix, of "column && $1". A scope without any key has no rows, and the result
// is empty but not nil.
//
// It never returns fewer tags than there could be: it fails if one of the keys
// is suspended or can not be loaded, or if the store was out of reach for so long
// that another process may have begun to use a new key: the keyring's
// PropagationDelay less a minute, or half of it if that is more.
//
// It fails with ErrLossy if rows that do not match would be found, too: if the
// index has fewer than 128 bits or is of kind NGram, or the text is longer than
// Max. It fails with ErrQuery if a prefix or suffix is shorter than Min, or holds
// one of % _ * ?, which would be taken for themselves where a pattern was meant.
func (x *Index) Match(ctx context.Context, value []byte, scope string) ([][]byte, error) {
	q, err := x.Query(derive.Access{}, ctx, value, scope)
	if err != nil {
		return nil, err
	}
	if q.Lossy {
		return nil, x.error(ErrLossy)
	}
	tags := make([][]byte, len(q.Sets))
	for i, set := range q.Sets {
		tags[i] = set[0]
	}
	return tags, nil
}

// Query is a search on an index, for the adapters of this module: they fetch
// what the tags find, and keep what Holds.
type Query struct {
	// Sets are the tags to look for, one set under each key that is not
	// destroyed. Rows may match if they have all tags of one of the sets.
	// No set is empty.
	Sets [][][]byte

	// Lossy says that rows that are found have to be asked Holds.
	Lossy bool

	index *Index
	text  secret.Bytes // normalized
}

// Query returns the search for a value. Only this module can ask for it.
func (x *Index) Query(_ derive.Access, ctx context.Context, value []byte, scope string) (*Query, error) {
	keys, err := x.keys.Live(ctx, scope)
	if err != nil {
		return nil, x.error(err)
	}
	text, err := x.normalize(value)
	if err != nil {
		return nil, x.error(err)
	}
	q := &Query{index: x, text: secret.New(text), Lossy: x.cfg.Bits < maxBits}
	pieces := [][]byte{text}
	if x.cfg.Kind != Exact {
		if pieces, q.Lossy, err = x.cfg.queryPieces(text); err != nil {
			return nil, x.error(err)
		}
	}
	q.Sets = make([][][]byte, len(keys))
	for i, k := range keys {
		q.Sets[i] = k.set(pieces)
	}
	return q, nil
}

// Holds reports whether a value that was found is one that was looked for.
func (q *Query) Holds(value []byte) (bool, error) {
	text, err := q.index.normalize(value)
	if err != nil {
		return false, q.index.error(err)
	}
	defer clear(text)
	switch q.index.cfg.Kind {
	case Prefix:
		return bytes.HasPrefix(text, q.text.Expose()), nil
	case Suffix:
		return bytes.HasSuffix(text, q.text.Expose()), nil
	case NGram:
		return bytes.Contains(text, q.text.Expose()), nil
	}
	return bytes.Equal(text, q.text.Expose()), nil
}

func (x *Index) error(err error) error { return fmt.Errorf("token: index %s: %w", x.name, err) }

// normalize returns the normalized value in a new slice.
func (x *Index) normalize(value []byte) ([]byte, error) {
	text, err := x.cfg.Normalizer.Append(make([]byte, 0, len(value)), value)
	if err == nil && x.cfg.Kind != Exact {
		err = checkText(text)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

// indexKey is an index's key under one DEK.
type indexKey struct {
	prefix  [prefixSize]byte
	version int // of the DEK
	bits    int
	states  *sync.Pool // of *state
}

// state is a keyed HMAC, kept because keying one costs more than a tag, and
// room to work in.
type state struct {
	mac        hash.Hash
	sum        [sha256.Size]byte
	normalized []byte
}

func (x *Index) newKey(m *keyring.Material, k *indexKey) error {
	key, err := m.Derive("HMAC-SHA256", x.name, sha256.Size, x.cfg.detail()...)
	if err != nil {
		return err
	}
	k.prefix, k.version, k.bits = prefixOf(m), m.Version(), x.cfg.Bits
	k.states = &sync.Pool{New: func() any { return &state{mac: hmac.New(sha256.New, key)} }}
	return nil
}

// prefixOf returns what Tink puts in front: 0x01 and the key id.
func prefixOf(m *keyring.Material) [prefixSize]byte {
	return [prefixSize]byte(append([]byte{1}, m.ID().Bytes()...))
}

// append appends the tag of a value, for an index of kind Exact.
func (k *indexKey) append(dst, value []byte, norm Normalizer) ([]byte, error) {
	s := k.states.Get().(*state)
	var err error
	if norm != Identity {
		s.normalized, err = norm.Append(s.normalized[:0], value)
		value = s.normalized
	}
	if err == nil {
		dst = k.appendTag(dst, value, s)
	}
	clear(s.normalized)
	k.states.Put(s)
	return dst, err
}

func (k *indexKey) appendTag(dst, text []byte, s *state) []byte {
	s.mac.Reset()
	s.mac.Write(text)
	sum := s.mac.Sum(s.sum[:0])[:(k.bits+7)/8]
	sum[len(sum)-1] &= 0xff << (8*len(sum) - k.bits)
	return append(append(slices.Grow(dst, TagSize), k.prefix[:]...), sum...)
}

// set returns the tags of pieces, each once, in ascending order.
func (k *indexKey) set(pieces [][]byte) [][]byte {
	s := k.states.Get().(*state)
	defer k.states.Put(s)
	tags := make([][]byte, len(pieces))
	for i, p := range pieces {
		tags[i] = k.appendTag(nil, p, s)
	}
	slices.SortFunc(tags, bytes.Compare)
	return slices.CompactFunc(tags, bytes.Equal)
}
