package keyring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// NewFileStore returns a Store in one JSON file, for development and single
// hosts. The file is made by the first Create, with mode 0600, and refused if
// others may read or write it. Every change replaces it as a whole, so that
// neither a reader nor a crash sees half of it; writers of all processes
// exclude each other by a lock on path + ".lock". It needs a local file system
// and, for the lock, a Unix. Its clock is the host's.
//
// A file that is empty or can not be read in full is an error and never the
// same as no file.
func NewFileStore(path string) Store { return &fileStore{path} }

type fileStore struct{ path string }

// fileFormat is the content of the file. Version 1 is the only one.
type fileFormat struct {
	Sealfield string // "keys"
	Version   int
	table
}

func (s *fileStore) Load(ctx context.Context, keyring string, targets []Target) (Loaded, error) {
	if err := ctx.Err(); err != nil {
		return Loaded{}, err
	}
	t, err := s.read()
	if err != nil {
		return Loaded{}, err
	}
	return t.load(keyring, targets, time.Now())
}

func (s *fileStore) Create(ctx context.Context, roots []Root) error {
	if len(roots) == 0 {
		return ErrConflict
	}
	return s.write(ctx, func(t *table) error { return t.create(roots) })
}

func (s *fileStore) InsertRoot(ctx context.Context, root Root) error {
	return s.write(ctx, func(t *table) error { return t.insertRoot(root) })
}

func (s *fileStore) UpdateRoot(ctx context.Context, root Root) error {
	return s.write(ctx, func(t *table) error { return t.updateRoot(root) })
}

func (s *fileStore) InsertKey(ctx context.Context, key Key) error {
	return s.write(ctx, func(t *table) error { return t.insert(key, time.Now()) })
}

func (s *fileStore) UpdateKeys(ctx context.Context, keys []Key) error {
	if len(keys) == 0 {
		return ctx.Err()
	}
	return s.write(ctx, func(t *table) error { return t.update(keys) })
}

func (s *fileStore) LoadUnder(ctx context.Context, root Root, after KeyID, limit int) ([]Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := s.read()
	if err != nil {
		return nil, err
	}
	return t.under(root, after, limit), nil
}

func (s *fileStore) EraseScope(ctx context.Context, keyring, scope string) error {
	return s.write(ctx, func(t *table) error { t.erase(keyring, scope); return nil })
}

// read returns the table, empty if there is no file.
func (s *fileStore) read() (*table, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return &table{}, nil
	}
	if err != nil {
		return nil, fileError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fileError(err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("store file %s: %w: its mode is %v and must be a file's 0600", s.path, ErrDenied, info.Mode())
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fileError(err)
	}
	var content fileFormat
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&content); err != nil {
		return nil, fmt.Errorf("store file %s: %w: it is no complete JSON (%d bytes)", s.path, ErrTampered, len(data))
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("store file %s: %w: something follows its end", s.path, ErrTampered)
	}
	if content.Sealfield != "keys" || content.Version != 1 {
		return nil, fmt.Errorf("store file %s: %w: it is no store of version 1", s.path, ErrTampered)
	}
	return &content.table, nil
}

// write changes the file under the lock.
func (s *fileStore) write(ctx context.Context, f func(*table) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// Through a symbolic link, or two processes would hold different locks
	// and the link would become a file of its own.
	path := s.path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return fileError(err)
	}
	defer unlock()
	t, err := s.read()
	if err != nil {
		return err
	}
	if err := f(t); err != nil {
		return err
	}
	data, err := json.MarshalIndent(fileFormat{"keys", 1, *t}, "", "\t")
	if err != nil {
		return err
	}
	if err := replaceFile(path, append(data, '\n')); err != nil {
		return fileError(err)
	}
	return nil
}

// replaceFile writes data beside path, with mode 0600 and on disk, and then
// renames it into place.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func fileError(err error) error {
	kind := ErrUnavailable
	if errors.Is(err, fs.ErrPermission) {
		kind = ErrDenied
	}
	return fmt.Errorf("%w: %w", kind, err)
}
