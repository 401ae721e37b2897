package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/sealfield/sealfield/internal/pae"
)

// This file is the cryptography of the stored rows, and nothing else.

const keySize = 32 // bytes of a root key and of a DEK

// rootKey is what a process keeps of an unwrapped root: the AEAD of its
// wrapping key, as two funcs so that no printer reaches the key.
type rootKey struct {
	row  Root // proven
	seal func(dst, nonce, plaintext, additionalData []byte) []byte
	open func(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

// newRootKey derives the wrapping key of the root r from its secret.
func newRootKey(secret []byte, r *Root) (*rootKey, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, rootInfo("sealfield/v1/root/wrap", r), keySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	return &rootKey{*r, aead.Seal, aead.Open}, nil
}

// rootCheck is a PRF of the root's secret over the row's immutable fields: it
// shows that the secret is the right one and that the fields are genuine.
func rootCheck(secret []byte, r *Root) ([]byte, error) {
	s := r.Settings
	return hkdf.Key(sha256.New, secret, nil, rootInfo("sealfield/v1/root/check", r,
		microseconds(r.CreatedAt), strconv.FormatBool(s.Scoped),
		decimal(s.PropagationDelay.Microseconds()), decimal(s.EncryptGrace.Microseconds()), decimal(s.DecryptGrace.Microseconds())), sha256.Size)
}

func rootInfo(label string, r *Root, more ...string) string {
	parts := append([]string{label, r.Keyring, string(r.Purpose), decimal(int64(r.Version)), string(r.ID.Bytes())}, more...)
	return string(pae.Encode(parts...))
}

// checkRoot fails with ErrTampered if secret is not r's, or r's fields are not
// what they were.
func checkRoot(secret []byte, r *Root) error {
	if len(secret) != keySize {
		return ErrTampered
	}
	want, err := rootCheck(secret, r)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(want, r.Check) != 1 {
		return ErrTampered
	}
	return nil
}

// wrap seals dek, or a tombstone, into the row k, as Tink's
// AES-256-GCM writes it: 0x01, root id, nonce, ciphertext, tag.
func (rk *rootKey) wrap(k *Key, dek []byte) {
	k.Root = rk.row.ID
	k.Wrapped = rk.seal(tinkPrefix(k.Root), nil, dek, keyAAD(k))
}

// wrapNext is wrap for UpdateKeys, which takes a row with the revision that it has,
// and stores it with the next.
func (rk *rootKey) wrapNext(k *Key, dek []byte) {
	next := *k
	next.Revision++
	rk.wrap(&next, dek)
	k.Root, k.Wrapped = next.Root, next.Wrapped
}

// unwrap returns the DEK, or the tombstone, in the row k, or ErrTampered. A root serves its own
// keyring and purpose only: who holds the root key for masking must not be able
// to make a key for encryption.
func (rk *rootKey) unwrap(k *Key) ([]byte, error) {
	prefix := tinkPrefix(rk.row.ID)
	if k.Root != rk.row.ID || k.Keyring != rk.row.Keyring || k.Purpose != rk.row.Purpose || len(k.Wrapped) < len(prefix) || string(k.Wrapped[:len(prefix)]) != string(prefix) {
		return nil, ErrTampered
	}
	dek, err := rk.open(nil, nil, k.Wrapped[len(prefix):], keyAAD(k))
	if err != nil {
		return nil, ErrTampered
	}
	_, _, isTombstone := parseTombstone(dek)
	if k.State == KeyDestroyed && isTombstone || k.State != KeyDestroyed && len(dek) == keySize {
		return dek, nil
	}
	return nil, ErrTampered
}

// keyAAD is every field of k but Wrapped. The first revision goes without saying.
func keyAAD(k *Key) []byte {
	parts := []string{"sealfield/v1/dek", k.Keyring, k.Scope, string(k.Purpose), decimal(int64(k.Version)), string(k.ID.Bytes()),
		string(k.Algorithm), microseconds(k.CreatedAt), microseconds(k.ActivateAt), string(k.Root.Bytes()), string(k.State)}
	if k.Revision != 1 {
		parts = append(parts, decimal(k.Revision))
	}
	return pae.Encode(parts...)
}

func tinkPrefix(id KeyID) []byte { return append([]byte{1}, id.Bytes()...) }

// newGCM returns AES-256-GCM with a random nonce in front of each ciphertext:
// the one form that runs under GODEBUG=fips140=only.
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func newKeyID() KeyID {
	var b [4]byte
	rand.Read(b[:])
	return KeyID(binary.BigEndian.Uint32(b[:])) | minKeyID
}

func newSecret() []byte {
	b := make([]byte, keySize)
	rand.Read(b)
	return b
}

// encryptionContext is what a KMS binds the root key r to.
func encryptionContext(r *Root) EncryptionContext {
	return EncryptionContext{"sealfield": r.Keyring, "purpose": string(r.Purpose), "key_id": r.ID.String()}
}

func decimal(n int64) string            { return strconv.FormatInt(n, 10) }
func microseconds(t time.Time) string   { return decimal(t.UnixMicro()) }
func wholeMicros(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }
