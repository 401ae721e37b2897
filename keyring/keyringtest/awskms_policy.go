package keyringtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/sealfield/sealfield/keyring"
)

// AWSAllowAll is the policy of a caller who may do everything with all keys.
const AWSAllowAll = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}`

// SetPolicy makes the access key known, if it is not, and gives it these IAM
// policies, and no others; the secret key does not matter. As in IAM, a request
// is denied unless a statement allows it and none denies it.
//
// Statements may have Sid, Effect, Action and Resource, with the wildcards * and
// ?, and Condition with StringEquals on kms:EncryptionContext:KEY, where KEY is
// compared without regard to case, as AWS does. Resource names keys, not
// aliases. Anything else is an error, and then nothing changes.
func (s *AWSKMS) SetPolicy(accessKeyID string, policies ...string) error {
	statements := []awsStatement{}
	for _, text := range policies {
		parsed, err := parsePolicy(text)
		if err != nil {
			return fmt.Errorf("keyringtest: policy of %s: %w", accessKeyID, err)
		}
		statements = append(statements, parsed...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies[accessKeyID] = statements
	return nil
}

// A Credential of Signature Version 4 is access key id, date, Region, service
// and "aws4_request".
var awsAuthorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/ ]+)/\d{8}/[a-z0-9-]+/kms/aws4_request, ?SignedHeaders=[^ ]+, ?Signature=[0-9a-f]{64}$`)

// authenticate returns the statements for the access key that signed.
func (s *AWSKMS) authenticate(r *http.Request) ([]awsStatement, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, refuse("MissingAuthenticationTokenException", "the request is not signed")
	}
	m := awsAuthorization.FindStringSubmatch(header)
	if m == nil {
		return nil, refuse("IncompleteSignatureException", "the Authorization header is not one of Signature Version 4 for kms")
	}
	policy, known := s.policies[m[1]]
	if !known {
		return nil, refuse("UnrecognizedClientException", "the security token included in the request is invalid")
	}
	return policy, nil
}

type awsStatement struct {
	Sid       string
	Effect    string
	Action    oneOrMore[string]
	Resource  oneOrMore[string]
	Condition map[string]map[string]oneOrMore[string] // operator, key, values
}

func parsePolicy(text string) ([]awsStatement, error) {
	var policy struct {
		Version   string
		Id        string
		Statement oneOrMore[awsStatement]
	}
	if err := strictly([]byte(text), &policy); err != nil {
		return nil, err
	}
	if policy.Version != "2012-10-17" || len(policy.Statement) == 0 {
		return nil, errors.New("it needs the Version 2012-10-17 and a Statement")
	}
	for _, st := range policy.Statement {
		if err := st.validate(); err != nil {
			return nil, fmt.Errorf("statement %q: %w", st.Sid, err)
		}
	}
	return policy.Statement, nil
}

func (st *awsStatement) validate() error {
	if st.Effect != "Allow" && st.Effect != "Deny" || len(st.Action) == 0 || len(st.Resource) == 0 {
		return errors.New("it needs an Effect (Allow or Deny), an Action and a Resource")
	}
	texts := slices.Concat(st.Action, st.Resource)
	for operator, keys := range st.Condition {
		if operator != "StringEquals" {
			return fmt.Errorf("the condition operator %s is not known here", operator)
		}
		for key, values := range keys {
			if _, ok := contextKey(key); !ok || len(values) == 0 {
				return fmt.Errorf("the condition key %s is not known here, or has no value", key)
			}
			texts = slices.Concat(texts, values)
		}
	}
	if slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, "${") }) {
		return errors.New("policy variables are not known here")
	}
	return nil
}

// contextKey returns the KEY of kms:EncryptionContext:KEY.
func contextKey(condition string) (key string, ok bool) {
	const prefix = "kms:EncryptionContext:"
	if len(condition) <= len(prefix) || !strings.EqualFold(condition[:len(prefix)], prefix) {
		return "", false
	}
	return condition[len(prefix):], true
}

// allows reports whether one of the statements allows the request and none
// denies it.
func allows(policy []awsStatement, action, arn string, ec keyring.EncryptionContext) bool {
	allowed := false
	for _, st := range policy {
		if !st.matches(action, arn, ec) {
			continue
		}
		if st.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (st *awsStatement) matches(action, arn string, ec keyring.EncryptionContext) bool {
	if !slices.ContainsFunc(st.Action, func(p string) bool { return wildcard("(?i)", p, action) }) ||
		!slices.ContainsFunc(st.Resource, func(p string) bool { return wildcard("", p, arn) }) {
		return false
	}
	for condition, values := range st.Condition["StringEquals"] {
		key, _ := contextKey(condition)
		met := false
		for k, v := range ec {
			met = met || strings.EqualFold(k, key) && slices.Contains(values, v)
		}
		if !met { // also if the context has no such key
			return false
		}
	}
	return true
}

func wildcard(flags, pattern, s string) bool {
	pattern = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(flags + "^" + pattern + "$").MatchString(s)
}

// oneOrMore is what may be a single value or an array of them in JSON.
type oneOrMore[T any] []T

func (l *oneOrMore[T]) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return strictly(data, (*[]T)(l))
	}
	var one T
	if err := strictly(data, &one); err != nil {
		return err
	}
	*l = oneOrMore[T]{one}
	return nil
}

var _ json.Unmarshaler = (*oneOrMore[string])(nil)
