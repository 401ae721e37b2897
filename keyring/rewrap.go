package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// RewrapOptions says what Rewrap does beside adding missing wraps. The zero
// value removes nothing.
type RewrapOptions struct {
	// From are KMSs that unwrap, but shall not wrap: those that the keyring
	// is moved away from. They are asked after those of the Config.
	From []KMS

	// Remove drops the wraps of all KMSs that the Config does not name, once
	// each of those that it names has proven that it can unwrap the key. Set
	// it when every process is configured with the new KMSs: one that is
	// not can open no key from then on.
	Remove bool

	// DryRun reports what would be done, calls no KMS and writes nothing.
	DryRun bool
}

// RewrapReport is what Rewrap did, root key by root key.
type RewrapReport struct {
	Roots []RewrappedRoot
}

// RewrappedRoot is what Rewrap did to one version of a root key. It names KMSs
// by their URIs.
type RewrappedRoot struct {
	Purpose Purpose
	Version int
	ID      KeyID
	Added   []string // have wrapped the key now
	Removed []string // their wraps are gone
	Wraps   []string // all that can unwrap it now
	Err     error    // why nothing was changed, or is not known to have been
}

// Rewrap has every root key of the keyring, old versions included unless they
// are destroyed, wrapped by all KMSs of the Config, and with Remove by no others. The keys below the
// roots, and all data, stay as they are: the number of KMS calls depends on the
// number of root versions alone (at most one Unwrap, and a Wrap and an Unwrap
// for each KMS).
//
// To move a keyring from one KMS to another: run Rewrap with the new one in
// Config.KMS and the old one in From; configure every process with the new one;
// run Rewrap with Remove.
//
// Each root key is one conditional update: a run that was cut short, or that
// failed for some keys, is finished by another one, and of two at once neither
// undoes what the other did. The error joins those of the single keys and names
// each. It needs the right to Wrap and Unwrap by the KMSs that are added, to
// Unwrap by one that has wrapped the keys, and to change roots in the store.
func (kr *Keyring) Rewrap(ctx context.Context, opts RewrapOptions) (RewrapReport, error) {
	var report RewrapReport
	if kr.isClosed() {
		return report, fmt.Errorf("keyring: %s: %w", kr.name, ErrClosed)
	}
	for _, k := range opts.From {
		if err := checkKMS(k); err != nil {
			return report, fmt.Errorf("keyring: rewrap %s: RewrapOptions.From %w", kr.name, err)
		}
	}
	if _, err := kr.loadStore(ctx, nil); err != nil {
		return report, fmt.Errorf("keyring: rewrap %s: %w", kr.name, err)
	}
	var failed []error
	for _, r := range kr.roots.all() {
		if r.row.State == RootDestroyed {
			continue
		}
		done := kr.rewrapRoot(ctx, &r.row, opts)
		report.Roots = append(report.Roots, done)
		failed = append(failed, done.Err)
	}
	if err := errors.Join(failed...); err != nil {
		return report, fmt.Errorf("keyring: rewrap %s: %w", kr.name, err)
	}
	return report, nil
}

// rewrapRoot does one root, again if others changed it meanwhile.
func (kr *Keyring) rewrapRoot(ctx context.Context, row *Root, opts RewrapOptions) RewrappedRoot {
	done := RewrappedRoot{Purpose: row.Purpose, Version: row.Version, ID: row.ID}
	keks := kr.keks[row.Purpose]
	for range maxTries {
		r, ok := kr.roots.get(row.ID)
		add, remove := rewrapPlan(&r.row, keks, opts.Remove)
		done.Wraps = wrappedBy(r.row.Wraps)
		switch {
		case !ok:
			done.Err = rootError(row, ErrVanished)
			return done
		case len(keks) == 0:
			done.Err = rootError(&r.row, ErrNoKMS)
			return done
		case opts.DryRun:
			done.Added, done.Removed = kekURIs(add), remove
			return done
		case r.row.State == RootDestroyed, len(add)+len(remove) == 0:
			done.Err = nil
			return done
		}
		next, err := kr.rewrap(ctx, r.row, append(slices.Clone(keks), newKEKList(opts.From, keks)...), add, remove)
		if err == nil {
			err = kr.updateRoot(ctx, next)
		}
		if done.Err = err; err == nil {
			done.Added, done.Removed, done.Wraps = kekURIs(add), remove, wrappedBy(next.Wraps)
			return done
		}
		if !errors.Is(err, ErrConflict) {
			return done
		}
		if _, err := kr.loadStore(ctx, nil); err != nil {
			done.Err = err
			return done
		}
	}
	return done
}

// rewrapPlan returns the KMSs that have not wrapped r, and the URIs of those
// that have and shall not.
func rewrapPlan(r *Root, keks []*kek, prune bool) (add []*kek, remove []string) {
	have := wrappedBy(r.Wraps)
	for _, k := range keks {
		if !slices.Contains(have, k.URI()) {
			add = append(add, k)
		}
	}
	for _, uri := range uris(r.Wraps) {
		if prune && !slices.Contains(kekURIs(keks), uri) {
			remove = append(remove, uri)
		}
	}
	return add, remove
}

// rewrap returns the row r with wraps by the KMSs in add, in place of missing
// ones, and without those of the URIs in remove. If any is removed it fails unless
// each that stays was unwrapped, as those that are new were.
func (kr *Keyring) rewrap(ctx context.Context, r Root, keks, add []*kek, remove []string) (Root, error) {
	secret, by, err := kr.unwrapSecret(ctx, keks, &r)
	if err != nil {
		return r, err
	}
	defer clear(secret)
	r.Wraps = slices.DeleteFunc(slices.Clone(r.Wraps), func(w Wrap) bool { return slices.Contains(remove, w.URI) })
	for _, k := range add {
		wrapped, err := kr.wrapWith(ctx, k, secret, &r)
		if err != nil {
			return r, rootError(&r, err)
		}
		r.Wraps = slices.DeleteFunc(r.Wraps, func(w Wrap) bool { return w.URI == k.URI() })
		r.Wraps = append(r.Wraps, Wrap{k.URI(), wrapped})
	}
	for _, w := range r.Wraps {
		isNew := slices.ContainsFunc(add, func(k *kek) bool { return k.URI() == w.URI })
		if isNew || len(remove) == 0 || w.URI == by.URI() || len(w.Wrapped) == 0 {
			continue
		}
		i := slices.IndexFunc(keks, func(k *kek) bool { return k.URI() == w.URI })
		if i < 0 {
			return r, rootError(&r, fmt.Errorf("%w: KMS %s", ErrNoKMS, w.URI))
		}
		if err := kr.prove(ctx, keks[i], w.Wrapped, &r); err != nil {
			return r, rootError(&r, err)
		}
	}
	return r, nil
}

// updateRoot writes the wraps of a root and takes over what the store has then.
func (kr *Keyring) updateRoot(ctx context.Context, r Root) error {
	if err := kr.write(ctx, func(ctx context.Context) error { return kr.store.UpdateRoot(ctx, r) }); err != nil {
		return rootError(&r, err)
	}
	if _, err := kr.loadStore(ctx, nil); err != nil && !isKeyError(err) {
		return err
	}
	return nil
}

// newKEKList returns the KMSs that are not among known.
func newKEKList(from []KMS, known []*kek) []*kek {
	var keks []*kek
	for _, k := range from {
		if !slices.Contains(kekURIs(known), k.URI()) {
			keks = append(keks, &kek{k, &outcome{}})
		}
	}
	return keks
}

// wrappedBy returns the URIs of the KMSs that have wrapped a root.
func wrappedBy(wraps []Wrap) []string {
	return uris(slices.DeleteFunc(slices.Clone(wraps), func(w Wrap) bool { return len(w.Wrapped) == 0 }))
}
