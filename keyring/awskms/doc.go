// Package awskms is a keyring.KMS on a symmetric key of AWS KMS, through AWS's
// own client:
//
//	cfg, err := config.LoadDefaultConfig(ctx) // github.com/aws/aws-sdk-go-v2/config
//	key, err := awskms.New(kms.NewFromConfig(cfg), "arn:aws:kms:eu-central-1:111122223333:key/...")
//	kr, err := keyring.Open(ctx, keyring.Config{Name: "shop", Store: store, KMS: []keyring.KMS{key}})
//
// Wrap is the operation Encrypt, Unwrap is Decrypt, both with the encryption
// context as it is (sealfield, purpose and key_id, see keyring.EncryptionContext)
// and with the key's ARN, which the answer must repeat. A process makes one
// Decrypt per root key that it uses, when it starts and each time that half a
// grace is over: for one keyring about 50 a day and purpose. CloudTrail records
// each with its encryption context.
//
// A call takes 4 seconds at the most and 3 attempts, whatever retries the client
// is configured with; what was refused is not tried again. The bodies of requests
// and answers, which hold root keys, are kept out of the client's log; middleware
// that reads them is the caller's to avoid.
//
// # Errors
//
// Every error names the operation, the key's ARN, AWS's error code and the request
// id, and holds nothing of an answer. errors.Is finds the class, and whether it is
// a keyring.ErrUnavailable (trying again may help) or a keyring.ErrDenied:
//
//	ErrThrottled     unavailable  ThrottlingException, LimitExceededException, TooManyRequestsException,
//	                              HTTP status 429
//	ErrUnreachable   unavailable  no answer in time or half of one, no connection, no credentials,
//	                              HTTP status 5xx, 408 or 3xx,
//	                              KMSInternalException, DependencyTimeoutException, KeyUnavailableException,
//	                              KMSInvalidStateException of a custom key store that is disconnected
//	ErrDisabled      denied       DisabledException, other KMSInvalidStateException (pending deletion or import)
//	ErrKeyNotFound   denied       NotFoundException
//	ErrWrongContext  denied       InvalidCiphertextException, IncorrectKeyException
//	ErrWrongAnswer   tampered     an answer that can not be decoded, is empty, or names another key
//	keyring.ErrDenied             AccessDeniedException, ExpiredTokenException, UnrecognizedClientException,
//	                              InvalidKeyUsageException, ValidationException and the like
//
// # Rights
//
// Who may Encrypt can make root keys, so give that to the role that creates
// keyrings, runs Rewrap and RotateRoot, and to no service (KEY is the key's ARN):
//
//	{
//		"Version": "2012-10-17",
//		"Statement": {
//			"Effect": "Allow",
//			"Action": ["kms:Encrypt", "kms:Decrypt"],
//			"Resource": "KEY",
//			"Condition": {"StringEquals": {"kms:EncryptionContext:sealfield": "shop"}}
//		}
//	}
//
// An alias needs kms:DescribeKey as well, in a statement of its own: that operation
// has no encryption context. A service that does everything with one keyring needs
// no more than
//
//	{
//		"Version": "2012-10-17",
//		"Statement": {
//			"Effect": "Allow",
//			"Action": "kms:Decrypt",
//			"Resource": "KEY",
//			"Condition": {"StringEquals": {"kms:EncryptionContext:sealfield": "shop"}}
//		}
//	}
//
// one that may search but not decrypt
//
//	{
//		"Version": "2012-10-17",
//		"Statement": {
//			"Effect": "Allow",
//			"Action": "kms:Decrypt",
//			"Resource": "KEY",
//			"Condition": {"StringEquals": {
//				"kms:EncryptionContext:sealfield": "shop",
//				"kms:EncryptionContext:purpose": "index"
//			}}
//		}
//	}
//
// and one that masks data for tests the same with "masking". Key policies and
// other IAM policies must not allow more. Once RotateRoot has emptied a root key,
// nobody needs it any more but who restores an old backup:
//
//	{
//		"Version": "2012-10-17",
//		"Statement": {
//			"Effect": "Deny",
//			"Action": "kms:Decrypt",
//			"Resource": "KEY",
//			"Condition": {"StringEquals": {
//				"kms:EncryptionContext:sealfield": "shop",
//				"kms:EncryptionContext:key_id": "OLD"
//			}}
//		}
//	}
//
// # Regions
//
// Each replica of a multi-Region key has an ARN of its own and counts as another
// KMS: name them all in Config.KMS, nearest first, and any one of them unwraps.
// The same goes for keys of several accounts.
//
// # What was not run
//
// The tests run AWS's client over HTTP against keyringtest.AWSKMS. Nobody has run
// this package on a real account yet: "go test -tags awskms_live" does, see
// live_test.go. Not covered by either are asymmetric keys, grants, custom and
// external key stores, and the throttling of real quotas.
package awskms
