// Old does with Tink 1.7 what a Request on its standard input says.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/google/tink/go/aead"
	"github.com/google/tink/go/daead"
	"github.com/google/tink/go/insecurecleartextkeyset"
	"github.com/google/tink/go/keyset"
	"github.com/google/tink/go/mac"
	tinkpb "github.com/google/tink/go/proto/tink_go_proto"
	streaming "github.com/google/tink/go/streamingaead/subtle"
	"github.com/google/tink/go/tink"

	"github.com/sealfield/sealfield/internal/tink17"
)

func main() {
	var q tink17.Request
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		log.Fatal(err)
	}
	p, err := answer(q)
	if err != nil {
		p.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(p); err != nil {
		log.Fatal(err)
	}
}

func answer(q tink17.Request) (tink17.Response, error) {
	switch q.Op {
	case "create":
		return create(q)
	case "use":
		return use(q)
	case "stream":
		return stream(q)
	}
	return tink17.Response{}, fmt.Errorf("no such op: %q", q.Op)
}

var templates = map[string]func() *tinkpb.KeyTemplate{
	"aead": aead.AES256GCMKeyTemplate, "daead": daead.AESSIVKeyTemplate, "mac": mac.HMACSHA256Tag128KeyTemplate,
}

func create(q tink17.Request) (p tink17.Response, err error) {
	if q.KEK == nil {
		h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
		if err != nil {
			return p, err
		}
		if q.KEK, err = clearJSON(h); err != nil {
			return p, err
		}
	}
	p.KEK = q.KEK
	kek, err := openKEK(q.KEK)
	if err != nil {
		return p, err
	}
	h, err := keyset.NewHandle(templates[q.Kind]())
	if err != nil {
		return p, err
	}
	first, err := write(q.Kind, h, q.Values)
	if err != nil {
		return p, err
	}
	manager := keyset.NewManagerFromHandle(h)
	id, err := manager.Add(templates[q.Kind]())
	if err != nil {
		return p, err
	}
	if err := manager.SetPrimary(id); err != nil {
		return p, err
	}
	if h, err = manager.Handle(); err != nil {
		return p, err
	}
	second, err := write(q.Kind, h, q.Values)
	if err != nil {
		return p, err
	}
	p.Values = append(first, second...)

	var binary, encryptedJSON, encryptedBinary bytes.Buffer
	if p.JSON, err = clearJSON(h); err != nil {
		return p, err
	}
	if err := insecurecleartextkeyset.Write(h, keyset.NewBinaryWriter(&binary)); err != nil {
		return p, err
	}
	if err := h.Write(keyset.NewJSONWriter(&encryptedJSON), kek); err != nil {
		return p, err
	}
	if err := h.Write(keyset.NewBinaryWriter(&encryptedBinary), kek); err != nil {
		return p, err
	}
	p.Binary, p.EncryptedJSON, p.EncryptedBinary = binary.Bytes(), encryptedJSON.Bytes(), encryptedBinary.Bytes()
	return p, nil
}

func use(q tink17.Request) (p tink17.Response, err error) {
	var h *keyset.Handle
	switch {
	case q.JSON != nil:
		h, err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(q.JSON)))
	case q.Binary != nil:
		h, err = insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(q.Binary)))
	default:
		var kek tink.AEAD
		if kek, err = openKEK(q.KEK); err == nil {
			h, err = keyset.Read(keyset.NewJSONReader(bytes.NewReader(q.Encrypted)), kek)
		}
	}
	if err != nil {
		return p, err
	}
	if err := read(q.Kind, h, q.Values); err != nil {
		return p, err
	}
	p.Values, err = write(q.Kind, h, q.Values)
	return p, err
}

// read fails unless every value opens to its plaintext.
func read(kind string, h *keyset.Handle, values []tink17.Value) error {
	for _, v := range values {
		var got []byte
		switch kind {
		case "aead":
			p, err := aead.New(h)
			if err != nil {
				return err
			}
			if got, err = p.Decrypt(v.Written, v.AssociatedData); err != nil {
				return err
			}
		case "daead":
			p, err := daead.New(h)
			if err != nil {
				return err
			}
			if got, err = p.DecryptDeterministically(v.Written, v.AssociatedData); err != nil {
				return err
			}
		case "mac":
			p, err := mac.New(h)
			if err != nil {
				return err
			}
			if err := p.VerifyMAC(v.Written, v.Plaintext); err != nil {
				return err
			}
			got = v.Plaintext
		}
		if !bytes.Equal(got, v.Plaintext) {
			return fmt.Errorf("another plaintext: %q", got)
		}
	}
	return nil
}

func write(kind string, h *keyset.Handle, values []tink17.Value) (written []tink17.Value, err error) {
	for _, v := range values {
		switch kind {
		case "aead":
			p, err := aead.New(h)
			if err != nil {
				return nil, err
			}
			if v.Written, err = p.Encrypt(v.Plaintext, v.AssociatedData); err != nil {
				return nil, err
			}
		case "daead":
			p, err := daead.New(h)
			if err != nil {
				return nil, err
			}
			if v.Written, err = p.EncryptDeterministically(v.Plaintext, v.AssociatedData); err != nil {
				return nil, err
			}
		case "mac":
			p, err := mac.New(h)
			if err != nil {
				return nil, err
			}
			if v.Written, err = p.ComputeMAC(v.Plaintext); err != nil {
				return nil, err
			}
		}
		written = append(written, v)
	}
	return written, nil
}

// stream opens what follows the commitment of an Envelope's stream.
func stream(q tink17.Request) (p tink17.Response, err error) {
	s, err := streaming.NewAESGCMHKDF(q.StreamKey, "SHA256", 32, 64<<10, 0)
	if err != nil {
		return p, err
	}
	r, err := s.NewDecryptingReader(bytes.NewReader(q.Stream), nil)
	if err != nil {
		return p, err
	}
	plaintext, err := io.ReadAll(r)
	p.Values = []tink17.Value{{Plaintext: plaintext}}
	return p, err
}

func clearJSON(h *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b))
	return b.Bytes(), err
}

func openKEK(data []byte) (tink.AEAD, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, err
	}
	return aead.New(h)
}
