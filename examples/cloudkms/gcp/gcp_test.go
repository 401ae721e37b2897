package main_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sealfield/sealfield/crypto"
	gcp "github.com/sealfield/sealfield/examples/cloudkms/gcp"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

var ec = keyring.EncryptionContext{"sealfield": "shop", "purpose": "encryption", "key_id": "80000001"}

// server is Google Cloud KMS with one key: AES-256-GCM over the plaintext and
// the associated data, and the checksums that the real one computes and checks.
type server struct {
	kmspb.UnimplementedKeyManagementServiceServer
	name     string
	key      cipher.AEAD
	fail     func(ctx context.Context, call int) error // before the answer
	damageE  func(*kmspb.EncryptResponse)
	damageD  func(*kmspb.DecryptResponse)
	encrypts atomic.Int64
	decrypts atomic.Int64
}

func crc(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}

func (s *server) check(ctx context.Context, name string, call int64, in, aad []byte, inCRC, aadCRC *wrapperspb.Int64Value) error {
	if s.fail != nil {
		if err := s.fail(ctx, int(call)); err != nil {
			return err
		}
	}
	switch {
	case name != s.name:
		return status.Errorf(codes.NotFound, "CryptoKey %s not found.", name)
	case inCRC == nil || inCRC.Value != crc(in).Value || aadCRC == nil || aadCRC.Value != crc(aad).Value:
		return status.Error(codes.InvalidArgument, "The checksum does not match.")
	}
	return nil
}

func (s *server) Encrypt(ctx context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	call := s.encrypts.Add(1)
	aad := r.AdditionalAuthenticatedData
	if err := s.check(ctx, r.Name, call, r.Plaintext, aad, r.PlaintextCrc32C, r.AdditionalAuthenticatedDataCrc32C); err != nil {
		return nil, err
	}
	ciphertext := s.key.Seal(nil, nil, r.Plaintext, aad)
	answer := &kmspb.EncryptResponse{
		Name:                    s.name + "/cryptoKeyVersions/1",
		Ciphertext:              ciphertext,
		CiphertextCrc32C:        crc(ciphertext),
		VerifiedPlaintextCrc32C: true,
		VerifiedAdditionalAuthenticatedDataCrc32C: true,
	}
	if s.damageE != nil {
		s.damageE(answer)
	}
	return answer, nil
}

func (s *server) Decrypt(ctx context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	call := s.decrypts.Add(1)
	aad := r.AdditionalAuthenticatedData
	if err := s.check(ctx, r.Name, call, r.Ciphertext, aad, r.CiphertextCrc32C, r.AdditionalAuthenticatedDataCrc32C); err != nil {
		return nil, err
	}
	plaintext, err := s.key.Open(nil, nil, r.Ciphertext, aad)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	answer := &kmspb.DecryptResponse{Plaintext: plaintext, PlaintextCrc32C: crc(plaintext)}
	if s.damageD != nil {
		s.damageD(answer)
	}
	return answer, nil
}

var servers atomic.Int64

// newServer starts a server with a new key and returns Google's client for it.
func newServer(t testing.TB) (*server, keyring.KMS) {
	secret := make([]byte, 32)
	rand.Read(secret)
	block, err := aes.NewCipher(secret)
	require.NoError(t, err)
	key, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(t, err)
	s := &server{name: fmt.Sprintf("projects/p/locations/global/keyRings/r/cryptoKeys/k%d", servers.Add(1)), key: key}

	listener := bufconn.Listen(1 << 20)
	g := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(g, s)
	go g.Serve(listener)
	t.Cleanup(g.Stop)
	return s, client(t, s.name, func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })
}

func client(t testing.TB, name string, dial func(context.Context, string) (net.Conn, error)) keyring.KMS {
	conn, err := grpc.NewClient("passthrough:///kms", grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	k, err := gcp.NewKMS(t.Context(), name, option.WithGRPCConn(conn))
	require.NoError(t, err)
	return k
}

func TestConformance(t *testing.T) {
	keyringtest.TestKMS(t, func(t testing.TB) keyring.KMS {
		_, k := newServer(t)
		return k
	})
}

func TestRun(t *testing.T) {
	s, k := newServer(t)
	var out strings.Builder
	require.NoError(t, gcp.Run(t.Context(), k, &out))
	require.Regexp(t, `^wrapped by gcp-kms://`+s.name+`\nsealed: 01[89a-f][0-9a-f]{7}[0-9a-f]+\nopened: ann@example.com\n$`, out.String())
	require.EqualValues(t, len(keyring.Purposes()), s.encrypts.Load())
	require.EqualValues(t, len(keyring.Purposes())+1, s.decrypts.Load(), "the proofs of Create, and one")
}

// TestStatus goes through all codes of gRPC. Google's client asks again after
// Unavailable and DeadlineExceeded until the context ends; the server ends it.
func TestStatus(t *testing.T) {
	want := map[codes.Code]error{
		codes.Canceled:           keyring.ErrUnavailable,
		codes.Unknown:            keyring.ErrUnavailable,
		codes.InvalidArgument:    keyring.ErrDenied,
		codes.DeadlineExceeded:   keyring.ErrUnavailable,
		codes.NotFound:           keyring.ErrDenied,
		codes.AlreadyExists:      keyring.ErrDenied,
		codes.PermissionDenied:   keyring.ErrDenied,
		codes.ResourceExhausted:  keyring.ErrUnavailable,
		codes.FailedPrecondition: keyring.ErrDenied,
		codes.Aborted:            keyring.ErrUnavailable,
		codes.OutOfRange:         keyring.ErrDenied,
		codes.Unimplemented:      keyring.ErrDenied,
		codes.Internal:           keyring.ErrUnavailable,
		codes.Unavailable:        keyring.ErrUnavailable,
		codes.DataLoss:           keyring.ErrUnavailable,
		codes.Unauthenticated:    keyring.ErrDenied,
	}
	require.Len(t, want, 16)
	for code, class := range want {
		t.Run(code.String(), func(t *testing.T) {
			s, k := newServer(t)
			wrapped, err := k.Wrap(t.Context(), make([]byte, 32), ec)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			s.fail = func(_ context.Context, call int) error {
				if call > 1 {
					cancel()
				}
				return status.Error(code, "as the test says")
			}
			_, err = k.Unwrap(ctx, wrapped, ec)
			require.ErrorIs(t, err, class)
			require.NotErrorIs(t, err, map[error]error{keyring.ErrDenied: keyring.ErrUnavailable, keyring.ErrUnavailable: keyring.ErrDenied}[class])
			require.True(t, strings.HasPrefix(err.Error(), "tinkkms: unwrap: "+class.Error()+": "), err.Error())
			again := code == codes.Unavailable || code == codes.DeadlineExceeded
			require.Equal(t, again, s.decrypts.Load() > 1, "%d calls", s.decrypts.Load())
		})
	}
}

// TestOutageEnds proves that a short outage is not seen by the keyring.
func TestOutageEnds(t *testing.T) {
	s, k := newServer(t)
	s.fail = func(_ context.Context, call int) error {
		if call == 1 {
			return status.Error(codes.Unavailable, "for a moment")
		}
		return nil
	}
	_, err := k.Wrap(t.Context(), make([]byte, 32), ec)
	require.NoError(t, err)
	require.EqualValues(t, 2, s.encrypts.Load())
}

// TestDamagedAnswers proves that answers with a wrong checksum, or of another
// key, are not taken.
func TestDamagedAnswers(t *testing.T) {
	for name, damage := range map[string]func(*kmspb.EncryptResponse){
		"checksum":             func(r *kmspb.EncryptResponse) { r.CiphertextCrc32C.Value++ },
		"no checksum":          func(r *kmspb.EncryptResponse) { r.CiphertextCrc32C = nil },
		"ciphertext":           func(r *kmspb.EncryptResponse) { r.Ciphertext[20] ^= 1 },
		"plaintext unverified": func(r *kmspb.EncryptResponse) { r.VerifiedPlaintextCrc32C = false },
		"context unverified":   func(r *kmspb.EncryptResponse) { r.VerifiedAdditionalAuthenticatedDataCrc32C = false },
		"another key":          func(r *kmspb.EncryptResponse) { r.Name = "projects/p/locations/global/keyRings/r/cryptoKeys/x" },
	} {
		s, k := newServer(t)
		s.damageE = damage
		_, err := k.Wrap(t.Context(), make([]byte, 32), ec)
		require.ErrorIs(t, err, keyring.ErrUnavailable, name)
	}
	for name, damage := range map[string]func(*kmspb.DecryptResponse){
		"checksum":    func(r *kmspb.DecryptResponse) { r.PlaintextCrc32C.Value++ },
		"no checksum": func(r *kmspb.DecryptResponse) { r.PlaintextCrc32C = nil },
		"plaintext":   func(r *kmspb.DecryptResponse) { r.Plaintext[20] ^= 1 },
	} {
		s, k := newServer(t)
		wrapped, err := k.Wrap(t.Context(), make([]byte, 32), ec)
		require.NoError(t, err)
		s.damageD = damage
		_, err = k.Unwrap(t.Context(), wrapped, ec)
		require.ErrorIs(t, err, keyring.ErrUnavailable, name)
	}
	s, k := newServer(t)
	wrapped, err := k.Wrap(t.Context(), make([]byte, 32), ec)
	require.NoError(t, err)
	s.damageD = func(r *kmspb.DecryptResponse) { r.Plaintext, r.PlaintextCrc32C = nil, crc(nil) }
	_, err = k.Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, keyring.ErrTampered, "an empty key with the right checksum")
}

// TestContextEnds proves that the end of the context reaches the server, and
// that it is no refusal.
func TestContextEnds(t *testing.T) {
	s, k := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s.fail = func(ctx context.Context, _ int) error {
		cancel()
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	_, err := k.Wrap(ctx, make([]byte, 32), ec)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestNoServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	k := client(t, "projects/p/locations/global/keyRings/r/cryptoKeys/k", func(context.Context, string) (net.Conn, error) {
		defer cancel() // else the client dials again and again
		return nil, errors.New("no route to host")
	})
	_, err := k.Wrap(ctx, make([]byte, 32), ec)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
}

// TestKeyring proves what a program sees of a KMS that fails: never ErrDecrypt,
// and nothing after the KMS is back.
func TestKeyring(t *testing.T) {
	for code, class := range map[codes.Code]error{
		codes.PermissionDenied:  keyring.ErrDenied,
		codes.ResourceExhausted: keyring.ErrUnavailable,
	} {
		s, k := newServer(t)
		cfg := keyring.Config{Name: "shop", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{k}}
		kr, err := keyring.Create(t.Context(), cfg)
		require.NoError(t, err)
		field, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
		require.NoError(t, err)
		sealed, err := field.Encrypt(t.Context(), []byte("ann@example.com"), crypto.Binding{})
		require.NoError(t, err)
		require.NoError(t, kr.Close())

		var down atomic.Bool
		down.Store(true)
		s.fail = func(context.Context, int) error {
			if down.Load() {
				return status.Error(code, "as the test says")
			}
			return nil
		}
		_, err = keyring.Create(t.Context(), keyring.Config{Name: "new", Store: cfg.Store, KMS: cfg.KMS})
		require.ErrorIs(t, err, class)
		kr, err = keyring.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer kr.Close()
		field, err = crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
		require.NoError(t, err)
		_, err = field.Decrypt(t.Context(), sealed, crypto.Binding{})
		require.ErrorIs(t, err, class)
		require.NotErrorIs(t, err, crypto.ErrDecrypt)

		down.Store(false)
		require.NoError(t, kr.Refresh(t.Context()))
		opened, err := field.Decrypt(t.Context(), sealed, crypto.Binding{})
		require.NoError(t, err)
		require.Equal(t, "ann@example.com", string(opened))
	}
}
