package main

import (
	"context"
	"fmt"

	"github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/tinkkms"
)

// NewKMS returns the symmetric key of this resource name,
// projects/P/locations/L/keyRings/R/cryptoKeys/K, as a KMS. Name the key, not a
// version of it. Without options it uses the application default credentials.
// Its connection lives as long as the process.
func NewKMS(ctx context.Context, name string, opts ...option.ClientOption) (*tinkkms.KMS, error) {
	uri := "gcp-kms://" + name
	aead, err := gcpkms.GetAEADWithContext(ctx, uri, gcpkms.WithGoogleAPIClientOptions(opts...))
	if err != nil {
		return nil, fmt.Errorf("gcp: %s: %w", uri, err)
	}
	return tinkkms.New(uri, aead, tinkkms.Config{Classify: classify})
}

// classify names the answers of Google that may be better next time. Without a
// status an error is Tink's: a checksum says that the answer was damaged on its
// way, or it is about another key.
//
// The others are refusals, among them InvalidArgument (another key or context,
// altered bytes), PermissionDenied, Unauthenticated (also: no token to be had),
// NotFound and FailedPrecondition (a key version is disabled or destroyed).
func classify(err error) error {
	answer, ok := status.FromError(err)
	if !ok {
		return keyring.ErrUnavailable
	}
	switch answer.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted,
		codes.ResourceExhausted, codes.Internal, codes.DataLoss, codes.Unknown:
		return keyring.ErrUnavailable
	}
	return nil // keyring.ErrDenied
}
