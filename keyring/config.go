package keyring

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

// Config says which keyring to open and how. Name, Scoped, PropagationDelay,
// EncryptGrace and DecryptGrace belong to the keyring: Create stores them, and
// Open refuses a Config that says otherwise.
type Config struct {
	// Name identifies the keyring in its store and is bound into every key.
	// It matches [a-z0-9][a-z0-9._-]{0,62}. Required.
	Name string

	// Store keeps the wrapped keys. The keyring does not close it. Required.
	Store Store

	// KMS are the key-encryption keys. Create wraps each root key with every
	// one of them, and any one can unwrap it; they are asked in this order,
	// one that failed a short while ago after the others. The keyring is as
	// safe as the weakest. At least one is required, here or in PurposeKMS.
	KMS []KMS

	// PurposeKMS names the KMSs of single purposes in place of KMS. It is for
	// KMSs whose policies can not tell purposes apart by the encryption
	// context: a service that may only search is given the KMS of Index. It
	// may be a key that KMS names too, through a client with other rights. A
	// purpose that has no KMS here or in KMS can not be used, nor created.
	PurposeKMS map[Purpose][]KMS

	// AllowMissingWraps lets Create go on if some of the KMSs are out of
	// reach (not if they refuse) and one at least has wrapped each root key.
	// The missing wraps are recorded in the store, shown by Health, and added
	// in the background by every process that sets this, may Wrap and Unwrap by
	// these KMSs and may change roots in the store. Until then the keyring is
	// lost if the other KMSs are.
	AllowMissingWraps bool

	// Scoped makes one key per tenant or data subject: every call then
	// needs a scope, while a keyring that is not scoped refuses one. Open
	// must be given the same value as Create.
	Scoped bool

	// Algorithm is what new keys of purpose Encryption encrypt with. Keys
	// that exist keep theirs. Defaults to XAES256GCM.
	Algorithm Algorithm

	// RotateEvery makes this process rotate keys of purpose Encryption, those
	// that it has in memory, in time for the next to be active when one has
	// been for this long by the store's clock. Any number of processes may
	// do it: they make one key. It needs the right to insert keys in the
	// store. Less than twice the PropagationDelay is refused. Zero means
	// never. Keys of other purposes never rotate by themselves: their rows
	// have to be written anew, see package token.
	RotateEvery time.Duration

	// NewScopesPerMinute bounds the first keys that this process makes for
	// scopes, one per scope and purpose: a caller that makes scopes up must
	// not fill the store. More are refused with ErrUnavailable. Defaults to
	// 10,000.
	NewScopesPerMinute int

	// PropagationDelay is how long a rotated key is known before it
	// encrypts, so that every process has loaded it by then. Whole
	// microseconds. Zero means 10 minutes at Create, as stored at Open.
	PropagationDelay time.Duration

	// EncryptGrace and DecryptGrace are how long a process goes on to
	// encrypt and to decrypt while the store, or every KMS, is out of reach
	// or denies. They count from the last good answer: a process reads the
	// store every RefreshEvery, and when half of the shorter grace is over it
	// asks the KMS again for each root key that it uses, so that a right that
	// is withdrawn there ends, too. An outage of the KMS is therefore survived
	// for the grace less up to half of the shorter one. Whole microseconds.
	// Zero means 1 hour and 24 hours at Create, as stored at Open.
	EncryptGrace time.Duration
	DecryptGrace time.Duration

	// RefreshEvery is the time between two looks at the store, plus or
	// minus a tenth. More than half of PropagationDelay or of a grace is
	// refused. Defaults to 1 minute, or to that half if it is less.
	RefreshEvery time.Duration

	// Timeout bounds each call to a KMS or the store, whether or not it
	// respects its context. Defaults to 5 seconds.
	Timeout time.Duration

	// Logger is told of each change: alarms (rows that fail authentication or
	// vanish, 100 of them by name in a minute) and the ends of graces at level Error; failures of the store and
	// of KMSs, and missing wraps, at level Warn; their recovery, and new,
	// activated, changed and erased keys, at level Info. It is given names,
	// scopes and key ids, never a key or a value. Defaults to slog.Default().
	Logger *slog.Logger
}

const (
	defaultPropagationDelay = 10 * time.Minute
	defaultEncryptGrace     = time.Hour
	defaultDecryptGrace     = 24 * time.Hour
	defaultRefreshEvery     = time.Minute
	defaultTimeout          = 5 * time.Second
	defaultNewScopes        = 10_000
)

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// settings returns what Create stores: the Config's values and the defaults.
func (c *Config) settings() Settings {
	s := Settings{c.Scoped, c.PropagationDelay, c.EncryptGrace, c.DecryptGrace}
	setDefault(&s.PropagationDelay, defaultPropagationDelay)
	setDefault(&s.EncryptGrace, defaultEncryptGrace)
	setDefault(&s.DecryptGrace, defaultDecryptGrace)
	return s
}

// agree checks the Config against the stored settings; zero agrees with all.
func (c *Config) agree(s Settings) error {
	if c.Scoped != s.Scoped {
		return fmt.Errorf("keyring: %s: Config.Scoped is %t, the keyring was created with %t", c.Name, c.Scoped, s.Scoped)
	}
	for _, d := range []struct {
		field       string
		here, there time.Duration
	}{
		{"PropagationDelay", c.PropagationDelay, s.PropagationDelay},
		{"EncryptGrace", c.EncryptGrace, s.EncryptGrace},
		{"DecryptGrace", c.DecryptGrace, s.DecryptGrace},
	} {
		if d.here != 0 && d.here != d.there {
			return fmt.Errorf("keyring: %s: Config.%s is %v, the keyring was created with %v", c.Name, d.field, d.here, d.there)
		}
	}
	return nil
}

// validate checks everything that needs no store and sets the defaults of what
// belongs to the process.
func (c *Config) validate() error {
	switch {
	case !validName.MatchString(c.Name):
		return fmt.Errorf("keyring: Config.Name %q does not match %s", c.Name, validName)
	case c.Store == nil:
		return errors.New("keyring: Config.Store is required")
	case c.Algorithm == "":
		c.Algorithm = XAES256GCM
	case c.Algorithm != XAES256GCM && c.Algorithm != AES256GCM:
		return fmt.Errorf("keyring: Config.Algorithm %q is not known", c.Algorithm)
	}
	if err := c.validateKMS(); err != nil {
		return err
	}
	for field, d := range map[string]time.Duration{
		"PropagationDelay": c.PropagationDelay, "EncryptGrace": c.EncryptGrace,
		"DecryptGrace": c.DecryptGrace, "RefreshEvery": c.RefreshEvery, "RotateEvery": c.RotateEvery, "Timeout": c.Timeout,
	} {
		if d < 0 || d%time.Microsecond != 0 {
			return fmt.Errorf("keyring: Config.%s of %v is no positive number of whole microseconds", field, d)
		}
	}
	setDefault(&c.Timeout, defaultTimeout)
	if c.NewScopesPerMinute < 0 {
		return fmt.Errorf("keyring: Config.NewScopesPerMinute of %d is negative", c.NewScopesPerMinute)
	}
	c.NewScopesPerMinute = cmp.Or(c.NewScopesPerMinute, defaultNewScopes)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

func (c *Config) validateKMS() error {
	for p := range c.PurposeKMS {
		if !p.valid() {
			return fmt.Errorf("keyring: Config.PurposeKMS: no such purpose: %q", p)
		}
	}
	n := 0
	for _, p := range Purposes() {
		seen := make(map[string]bool)
		for _, k := range c.kms(p) {
			if err := checkKMS(k); err != nil {
				return fmt.Errorf("keyring: Config.KMS %w", err)
			}
			if seen[k.URI()] {
				return fmt.Errorf("keyring: Config.KMS names %s twice", k.URI())
			}
			seen[k.URI()] = true
			n++
		}
	}
	if n == 0 {
		return errors.New("keyring: Config.KMS needs at least one KMS")
	}
	return nil
}

func checkKMS(k KMS) error {
	switch {
	case k == nil:
		return errors.New("holds nil")
	case k.URI() == "":
		return errors.New("holds a KMS without a URI")
	}
	return nil
}

// kms returns the KMSs of a purpose.
func (c *Config) kms(p Purpose) []KMS {
	if own, ok := c.PurposeKMS[p]; ok {
		return own
	}
	return c.KMS
}

// refreshEvery returns the interval that goes with the keyring's settings.
func (c *Config) refreshEvery(s Settings) (time.Duration, error) {
	for _, most := range []struct {
		setting string
		value   time.Duration
		why     string
	}{
		{"PropagationDelay", s.PropagationDelay, "processes could meet a key that they do not know"},
		{"EncryptGrace", s.EncryptGrace, "it could end between two of them"},
		{"DecryptGrace", s.DecryptGrace, "it could end between two of them"},
	} {
		if c.RefreshEvery > most.value/2 {
			return 0, fmt.Errorf("keyring: %s: Config.RefreshEvery of %v is more than half of the %s of %v: %s", c.Name, c.RefreshEvery, most.setting, most.value, most.why)
		}
	}
	if c.RefreshEvery == 0 {
		return min(defaultRefreshEvery, s.PropagationDelay/2, s.EncryptGrace/2, s.DecryptGrace/2), nil
	}
	return c.RefreshEvery, nil
}

func (c *Config) checkRotateEvery(s Settings) error {
	if c.RotateEvery != 0 && c.RotateEvery < 2*s.PropagationDelay {
		return fmt.Errorf("keyring: %s: Config.RotateEvery of %v is less than twice the PropagationDelay of %v", c.Name, c.RotateEvery, s.PropagationDelay)
	}
	return nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}
