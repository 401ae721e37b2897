package keyringtest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// AWSHook is called for each request that arrives at an AWSKMS, before anything
// of it is looked at, and answers it: by next, which gives the right answer, or
// otherwise. Hooks may read the body, wait (until r.Context() ends, when the
// client gives up), and call next more than once. They run concurrently.
//
// This one delays the right answer to every Decrypt:
//
//	func(w http.ResponseWriter, r *http.Request, next http.Handler) {
//		if keyringtest.AWSOperation(r) == "Decrypt" {
//			time.Sleep(100 * time.Millisecond)
//		}
//		next.ServeHTTP(w, r)
//	}
type AWSHook func(w http.ResponseWriter, r *http.Request, next http.Handler)

// AWSHang is a hook that never answers: it returns when the client has gone.
func AWSHang(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// AWSReset is a hook that ends the connection with a TCP reset.
func AWSReset(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// AWSError returns a hook that answers with an error of AWS, such as 400 and
// "ThrottlingException", or 500 and "KMSInternalException".
func AWSError(status int, code, message string) AWSHook {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		awsWrite(w, nil, awsRefusal{status, code, message})
	}
}

// AWSAnswer returns a hook that answers with any status and body.
func AWSAnswer(status int, body string) AWSHook {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// AWSChange returns a hook that lets change edit the members of right answers,
// in which blobs are base64; refusals stay as they are.
func AWSChange(change func(answer map[string]any)) AWSHook {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		right := httptest.NewRecorder()
		next.ServeHTTP(right, r)
		var answer map[string]any
		if err := json.Unmarshal(right.Body.Bytes(), &answer); err != nil {
			panic(fmt.Sprintf("keyringtest: own answer: %v", err))
		}
		if right.Code == http.StatusOK {
			change(answer)
		}
		maps.Copy(w.Header(), right.Header())
		w.WriteHeader(right.Code)
		json.NewEncoder(w).Encode(answer)
	}
}

// AWSFirst returns a hook that hands the first n requests to h, and lets all
// others have the right answer.
func AWSFirst(n int, h AWSHook) AWSHook {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if seen.Add(1) <= int64(n) {
			h(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}
