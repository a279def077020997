package sigv4

import (
	"net/http"
	"testing"
	"time"
)

// FuzzParse: no header or query may panic the parser, and nothing it accepts
// may verify without the secret.
func FuzzParse(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20260314/us-west-2/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "20260314T120000Z", "")
	f.Add("AWS4-HMAC-SHA256 Credential=,SignedHeaders=;;,Signature==", "2026", "a=b&%zz&=&&X-Amz-Date=1")
	f.Add("", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260314%2Fus-west-2%2Fsts%2Faws4_request&X-Amz-Date=20260314T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0")
	var keys KeyCache
	f.Fuzz(func(t *testing.T, auth, date, query string) {
		h := http.Header{}
		if auth != "" {
			h.Set("Authorization", auth)
		}
		if date != "" {
			h.Set("X-Amz-Date", date)
		}
		r := &Request{Method: "GET", Path: "/", RawQuery: query, Host: "localhost", Header: h}
		s, err := Parse(r)
		if err != nil {
			return
		}
		if s.AccessKeyID == "" || s.Service == "" || len(s.SignedHeaders) == 0 {
			t.Fatalf("accepted %+v", s)
		}
		_ = s.Fresh(time.Unix(1773489600, 0), time.Minute) // either answer is right
		if s.Verify(r, "secret", &keys) == nil {
			t.Fatalf("%+v verifies", s)
		}
	})
}
