package clusterauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ekster.dev/ekster/internal/region"
)

const (
	tokenPrefix  = "k8s-aws-v1."
	maxToken     = 4 << 10
	maxExpires   = 900 // seconds, X-Amz-Expires
	tokenLife    = 15 * time.Minute
	clusterIDKey = "x-k8s-aws-id"
	stampForm    = "20060102T150405Z"
)

// internetAddress is where machines find the AWS APIs: network.InternetAddress.
var internetAddress = netip.MustParseAddr("198.18.0.1")

// parameters that a token's URL may have, in lower case, each once.
var parameters = []string{
	"action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires",
	"x-amz-security-token", "x-amz-signature", "x-amz-signedheaders",
}

// parseToken takes the presigned URL out of a token, and checks all of it but the signature.
// Errors have the words of EKS's authenticator.
func parseToken(token string, hosts []string, now time.Time) (signed string, err error) {
	malformed := func(format string, args ...any) error {
		return fmt.Errorf("input token was not properly formatted: "+format, args...)
	}
	if len(token) > maxToken {
		return "", malformed("token is too large")
	}
	encoded, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return "", malformed("token is missing expected %q prefix", tokenPrefix)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return "", malformed("%w", err)
	}
	u, err := url.Parse(string(raw))
	if err != nil {
		return "", malformed("%w", errors.Unwrap(err)) // the error itself repeats the URL
	}
	switch {
	case u.User != nil:
		return "", malformed("unexpected user info in pre-signed URL")
	case u.Opaque != "" || u.EscapedPath() != "/":
		return "", malformed("unexpected path in pre-signed URL")
	case u.Fragment != "" || strings.Contains(string(raw), "#"):
		return "", malformed("unexpected fragment in pre-signed URL")
	}
	if err := checkHost(u, hosts); err != nil {
		return "", malformed("%w", err)
	}
	if err := checkQuery(u.RawQuery, now); err != nil {
		return "", malformed("%w", err)
	}
	return string(raw), nil
}

// checkHost allows the hosts that somebody who talks to us signs for: AWS's, over HTTPS; and
// those of the front door, as AWS_ENDPOINT_URL names it, where plain HTTP is usual.
func checkHost(u *url.URL, hosts []string) error {
	if u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("unexpected scheme %q in pre-signed URL", u.Scheme)
	}
	if ours(u, hosts) {
		return nil
	}
	if u.Scheme != "https" {
		return fmt.Errorf("unexpected scheme %q in pre-signed URL", u.Scheme)
	}
	if port := u.Port(); !stsHost(u.Hostname()) || port != "" && port != "443" {
		return fmt.Errorf("unexpected hostname %q in pre-signed URL", u.Host)
	}
	return nil
}

func ours(u *url.URL, hosts []string) bool {
	if slices.Contains(hosts, u.Host) || u.Hostname() == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && (addr.IsLoopback() || addr == internetAddress)
}

// stsHost says whether AWS answers for STS at this name: global, regional, FIPS, dual-stack.
func stsHost(name string) bool {
	if name == "sts.amazonaws.com" {
		return true
	}
	service, rest, _ := strings.Cut(name, ".")
	if service != "sts" && service != "sts-fips" {
		return false
	}
	place, ok := strings.CutSuffix(rest, ".amazonaws.com")
	if !ok {
		if place, ok = strings.CutSuffix(rest, ".api.aws"); !ok {
			return false
		}
	}
	_, known := region.Lookup(place)
	return known
}

func checkQuery(raw string, now time.Time) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return errors.New("malformed query parameter")
	}
	values := map[string]string{}
	for key, all := range query {
		name := strings.ToLower(key)
		if !slices.Contains(parameters, name) {
			return fmt.Errorf("non-whitelisted query parameter %q", key)
		}
		if _, twice := values[name]; twice || len(all) != 1 {
			return fmt.Errorf("query parameter with multiple values not supported: %q", key)
		}
		values[name] = all[0]
	}
	if values["action"] != "GetCallerIdentity" {
		return errors.New("unexpected action parameter in pre-signed URL")
	}
	if values["version"] != "2011-06-15" {
		return errors.New("unexpected version parameter in pre-signed URL")
	}
	if !slices.Contains(strings.Split(values["x-amz-signedheaders"], ";"), clusterIDKey) {
		return fmt.Errorf("client did not sign the %s header in the pre-signed URL", clusterIDKey)
	}
	if n, err := strconv.Atoi(values["x-amz-expires"]); err != nil || n < 0 || n > maxExpires {
		return fmt.Errorf("invalid X-Amz-Expires parameter in pre-signed URL: %q", values["x-amz-expires"])
	}
	date, err := time.Parse(stampForm, values["x-amz-date"])
	if err != nil {
		return fmt.Errorf("error parsing X-Amz-Date parameter %q", values["x-amz-date"])
	}
	if expired := date.Add(tokenLife); now.After(expired) {
		return fmt.Errorf("X-Amz-Date parameter is expired (%.f minute expiration) %s", tokenLife.Minutes(), date)
	}
	return nil
}
