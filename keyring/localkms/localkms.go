// Package localkms is a KMS in a file: a 32-byte AES-256 key that wraps the
// root keys of a keyring. It is the default for development, and for single
// hosts whose disk is trusted more than their database: whoever reads the file
// can unwrap every key that it wrapped. It leaves no audit trail and enforces
// no policy; where these matter use a real KMS.
//
// The file is text of one line,
//
//	sealfield-local-key-1 <key id, 16 hex digits> <key, 43 characters of base64url>
//
// where the key id is the first 8 bytes of SHA-256("sealfield/v1/local-key" ‖
// key), so that a damaged file is noticed. Back it up apart from the database:
// without it everything is lost. Wrapping is AES-256-GCM (NIST SP 800-38D) with
// a random nonce, the encoded encryption context as associated data.
package localkms

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sealfield/sealfield/internal/kmsaead"
	"github.com/sealfield/sealfield/keyring"
)

const header = "sealfield-local-key-1"

// KMS is the key of a key file. It is read once: a later change of the file is
// not seen. It is safe for concurrent use, and printing it shows no key.
type KMS struct {
	uri string
	key *kmsaead.Key
}

var _ keyring.KMS = (*KMS)(nil)

// Create makes a new key file with mode 0600. It fails with an error that is
// fs.ErrExist if there is a file of that name, whatever it holds, and never
// overwrites it. The file appears complete or not at all.
func Create(path string) (*KMS, error) {
	key := make([]byte, kmsaead.KeySize)
	rand.Read(key)
	defer clear(key)
	line := fmt.Sprintf("%s %s %s\n", header, keyID(key), base64.RawURLEncoding.EncodeToString(key))
	if err := writeNew(path, line); err != nil {
		return nil, fmt.Errorf("localkms: create key file: %w", err)
	}
	return newKMS(key)
}

// Open reads a key file. It fails with an error that is fs.ErrNotExist if there
// is none, and refuses a file that others than its owner may read or write, or
// that is not exactly what Create wrote.
func Open(path string) (*KMS, error) {
	key, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("localkms: key file %s: %w", path, err)
	}
	defer clear(key)
	return newKMS(key)
}

// OpenOrCreate opens the key file, or makes it if there is none. A file that
// can not be used is an error, never replaced.
func OpenOrCreate(path string) (*KMS, error) {
	k, err := Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = Create(path)
	}
	if errors.Is(err, fs.ErrExist) {
		k, err = Open(path)
	}
	return k, err
}

func newKMS(key []byte) (*KMS, error) {
	k, err := kmsaead.New(key)
	if err != nil {
		return nil, fmt.Errorf("localkms: %w", err)
	}
	return &KMS{"local:" + keyID(key), k}, nil
}

// URI returns "local:" and the key id. It does not depend on the file's path.
func (k *KMS) URI() string { return k.uri }

// String returns the URI.
func (k *KMS) String() string { return k.uri }

// Wrap implements keyring.KMS.
func (k *KMS) Wrap(_ context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	return k.key.Wrap(key, ec.Encode()), nil
}

// Unwrap implements keyring.KMS. It fails with keyring.ErrDenied if the key was
// wrapped by another KMS or for another context.
func (k *KMS) Unwrap(_ context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	key, err := k.key.Unwrap(wrapped, ec.Encode())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keyring.ErrDenied, err)
	}
	return key, nil
}

func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("sealfield/v1/local-key"), key...))
	return hex.EncodeToString(sum[:8])
}

// read returns the key. Its errors never hold any of the file's content.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("others may use it: its mode is %04o and must be 0600 or 0400", info.Mode().Perm())
	case info.Size() == 0:
		return nil, errors.New("it is empty")
	}
	data, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return nil, err
	}
	defer clear(data)
	line, complete := strings.CutSuffix(string(data), "\n")
	fields := strings.Split(line, " ")
	if len(fields) != 3 || fields[0] != header || !complete || strings.ContainsAny(line, "\r\n") { // base64 skips line ends
		return nil, errors.New("it is damaged: not the one line of a key file")
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(fields[2])
	if err != nil || len(key) != kmsaead.KeySize || keyID(key) != fields[1] {
		clear(key)
		return nil, errors.New("it is damaged: the key does not match its id")
	}
	return key, nil
}

// writeNew writes the file beside path and then links it into place, which
// fails if path exists.
func writeNew(path, line string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".sealfield-key.*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(line)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
