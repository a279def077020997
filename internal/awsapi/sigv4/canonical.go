package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A param is a decoded parameter of the query.
type param struct{ key, value string }

func parseQuery(raw string) ([]param, error) {
	if raw == "" {
		return nil, nil
	}
	var ps []param
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(k)
		if err != nil {
			return nil, refuse(Incomplete, "The query string is malformed.")
		}
		value, err := url.QueryUnescape(v)
		if err != nil {
			return nil, refuse(Incomplete, "The query string is malformed.")
		}
		ps = append(ps, param{key, value})
	}
	return ps, nil
}

func get(ps []param, key string) string {
	for _, p := range ps {
		if p.key == key {
			return p.value
		}
	}
	return ""
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// Verify checks the signature against the request and the secret of its
// access key.
func (s *Signature) Verify(r *Request, secret string, keys *KeyCache) error {
	buf := buffers.Get().(*[]byte)
	defer func() { buffers.Put(buf) }()
	b := s.canonical((*buf)[:0], r)
	sum := sha256.Sum256(b)

	b = append(b[:0], algorithm+"\n"...)
	b = append(b, s.stamp...)
	b = append(b, '\n')
	b = append(b, s.date...)
	b = append(b, '/')
	b = append(b, s.Region...)
	b = append(b, '/')
	b = append(b, s.Service...)
	b = append(b, "/"+terminator+"\n"...)
	b = hex.AppendEncode(b, sum[:])

	key := keys.signing(s.AccessKeyID, secret, s.date, s.Region, s.Service)
	mac := hmac.New(sha256.New, key[:])
	mac.Write(b)
	want := hex.AppendEncode(b[:0], mac.Sum(nil))
	*buf = b
	if !hmac.Equal(want, []byte(s.signature)) {
		return &Error{Mismatch, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	}
	return nil
}

// canonical appends the canonical request.
func (s *Signature) canonical(b []byte, r *Request) []byte {
	b = append(b, r.Method...)
	b = append(b, '\n')
	if r.Path == "" {
		b = append(b, '/')
	}
	b = appendEscaped(b, r.Path, true)
	b = append(b, '\n')
	if len(s.query) > 0 {
		type pair struct{ key, value string }
		pairs := make([]pair, len(s.query))
		for i, p := range s.query {
			pairs[i] = pair{string(appendEscaped(nil, p.key, false)), string(appendEscaped(nil, p.value, false))}
		}
		slices.SortFunc(pairs, func(a, b pair) int {
			if c := strings.Compare(a.key, b.key); c != 0 {
				return c
			}
			return strings.Compare(a.value, b.value)
		})
		for i, p := range pairs {
			if i > 0 {
				b = append(b, '&')
			}
			b = append(b, p.key...)
			b = append(b, '=')
			b = append(b, p.value...)
		}
	}
	b = append(b, '\n')
	for _, name := range s.SignedHeaders {
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, name, r)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, s.signedHeaders...)
	b = append(b, '\n')
	return hex.AppendEncode(b, r.BodyHash[:])
}

func appendHeader(b []byte, name string, r *Request) []byte {
	switch name {
	case "host":
		return appendTrimmed(b, r.Host)
	case "content-length": // net/http takes it out of the header of some requests
		if len(r.Header["Content-Length"]) == 0 {
			return strconv.AppendInt(b, r.ContentLength, 10)
		}
	}
	for i, v := range r.Header[canonicalKey(name)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, v)
	}
	return b
}

// canonicalKey spares the common names an allocation.
func canonicalKey(name string) string {
	switch name {
	case "content-type":
		return "Content-Type"
	case "x-amz-date":
		return "X-Amz-Date"
	case "x-amz-security-token":
		return "X-Amz-Security-Token"
	case "x-amz-content-sha256":
		return "X-Amz-Content-Sha256"
	case "x-amz-target":
		return "X-Amz-Target"
	case "amz-sdk-invocation-id":
		return "Amz-Sdk-Invocation-Id"
	case "amz-sdk-request":
		return "Amz-Sdk-Request"
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// appendTrimmed appends a header's value without spaces around it, and with
// single ones inside.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	for i := 0; i < len(v); i++ {
		if v[i] == ' ' && i > 0 && v[i-1] == ' ' {
			continue
		}
		b = append(b, v[i])
	}
	return b
}

const upperHex = "0123456789ABCDEF"

// appendEscaped appends s as RFC 3986 wants it. A path, already escaped by
// its sender, is escaped once more, as all services but S3 do it.
func appendEscaped(b []byte, s string, path bool) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' || c == '/' && path {
			b = append(b, c)
			continue
		}
		b = append(b, '%', upperHex[c>>4], upperHex[c&15])
	}
	return b
}

// FromHTTP describes a server's request; bodyHash is of the whole body.
func FromHTTP(r *http.Request, bodyHash [32]byte) *Request {
	path := r.RequestURI // as sent; URL.EscapedPath may differ
	if !strings.HasPrefix(path, "/") {
		path = r.URL.EscapedPath()
	}
	path, _, _ = strings.Cut(path, "?")
	return &Request{Method: r.Method, Path: path, RawQuery: r.URL.RawQuery, Host: r.Host, Header: r.Header, ContentLength: r.ContentLength, BodyHash: bodyHash}
}
