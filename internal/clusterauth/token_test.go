package clusterauth

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Whoever signs for the hosts that clients call STS by gets in.
func TestTokenHosts(t *testing.T) {
	w := newWorld(t)
	for endpoint, want := range map[string]bool{
		front:                                      true,
		"https://127.0.0.1:4566":                   true,
		"http://localhost:4566":                    true,
		"http://[::1]:4566":                        true,
		"http://198.18.0.1":                        true,
		"https://198.18.0.1":                       true,
		"http://aws.example:8080":                  true,
		"https://sts.amazonaws.com":                true,
		"https://sts.us-west-2.amazonaws.com":      true,
		"https://sts.eu-north-1.amazonaws.com":     true,
		"https://sts-fips.us-east-1.amazonaws.com": true,
		"https://sts.us-west-2.api.aws":            true,
		"https://sts.us-west-2.amazonaws.com:443":  true,

		"http://sts.us-west-2.amazonaws.com":               false, // AWS's own are called by HTTPS
		"https://sts.us-west-2.amazonaws.com:8443":         false,
		"https://sts.us-west-9.amazonaws.com":              false,
		"https://ec2.us-west-2.amazonaws.com":              false,
		"https://sts.us-west-2.amazonaws.com.cn":           false,
		"https://evil.example":                             false,
		"https://sts.us-west-2.amazonaws.com.evil.example": false,
		"http://aws.example:8081":                          false,
		"http://198.18.0.2":                                false,
	} {
		if got := w.login(w.token(w.root, "c1", endpoint)); got.Authenticated != want {
			t.Errorf("a token signed for %s: authenticated %v, want %v", endpoint, got.Authenticated, want)
		}
	}
}

func TestTokenRefusals(t *testing.T) {
	w := newWorld(t)
	_, alice := w.user("alice")
	w.awsAuth = map[string]string{"mapAccounts": "- \"" + account + "\""}
	const query = "?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60"
	good := w.sign(alice, front+"/"+query, w.now)
	if !w.login(encode(good)).Authenticated {
		t.Fatalf("the token that the others are made from is refused: %s", w.log)
	}
	signed := func(url string) string { return encode(w.sign(alice, url, w.now)) }
	wrongKey := alice
	wrongKey.SecretAccessKey = "another"
	for name, c := range map[string]struct{ token, reason string }{
		"empty":                        {"", "prefix"},
		"another scheme":               {"k8s-aws-v2." + strings.TrimPrefix(encode(good), tokenPrefix), "prefix"},
		"only the prefix":              {tokenPrefix, "unexpected path"},
		"padded":                       {tokenPrefix + base64.URLEncoding.EncodeToString([]byte(good+"%")), "illegal base64"},
		"too long":                     {encode(good + "&" + strings.Repeat("x", maxToken)), "too large"},
		"no URL":                       {encode("https://127.0.0.1:bad/"), "invalid port"},
		"another scheme of URL":        {encode(strings.Replace(good, "http:", "ftp:", 1)), "unexpected scheme"},
		"opaque":                       {encode(strings.Replace(good, "http://", "https:", 1)), "unexpected path"},
		"a path":                       {signed(front + "/x" + query), "unexpected path"},
		"no path":                      {encode(strings.Replace(good, "4566/?", "4566?", 1)), "unexpected path"},
		"user info":                    {encode(strings.Replace(good, "http://", "http://a:b@", 1)), "user info"},
		"fragment":                     {encode(good + "#x"), "fragment"},
		"empty fragment":               {encode(good + "#"), "fragment"},
		"an extra key":                 {signed(front + "/" + query + "&x=y"), "non-whitelisted"},
		"a key twice":                  {signed(front + "/" + query + "&Action=GetCallerIdentity"), "multiple values"},
		"a key twice, in another case": {signed(front + "/" + query + "&action=GetCallerIdentity"), "multiple values"},
		"a second date":                {encode(good + "&x-amz-date=" + w.now.UTC().Format(stampForm)), "multiple values"},
		"a semicolon":                  {encode(good + ";a=b"), "malformed query"},
		"another action":               {signed(front + "/" + strings.Replace(query, "GetCallerIdentity", "AssumeRole", 1)), "unexpected action"},
		"another version":              {signed(front + "/" + strings.Replace(query, "2011", "2012", 1)), "unexpected version"},
		"no expiry":                    {signed(front + "/" + strings.Replace(query, "&X-Amz-Expires=60", "", 1)), "X-Amz-Expires"},
		"expiry too far":               {signed(front + "/" + strings.Replace(query, "=60", "=901", 1)), "X-Amz-Expires"},
		"expiry negative":              {signed(front + "/" + strings.Replace(query, "=60", "=-1", 1)), "X-Amz-Expires"},
		"expiry is no number":          {signed(front + "/" + strings.Replace(query, "=60", "=1m", 1)), "X-Amz-Expires"},
		"not for a cluster":            {encode(strings.Replace(good, "%3Bx-k8s-aws-id", "", 1)), "did not sign"},
		"for another cluster":          {w.token(alice, "c2", front), "SignatureDoesNotMatch"},
		"too old":                      {encode(w.sign(alice, front+"/"+query, w.now.Add(-tokenLife-2*time.Second))), "expired"},
		"of the future":                {encode(w.sign(alice, front+"/"+query, w.now.Add(tokenLife+2*time.Second))), "not yet current"},
		"another host than signed":     {encode(strings.Replace(good, "127.0.0.1", "localhost", 1)), "SignatureDoesNotMatch"},
		"a wrong secret":               {encode(w.sign(wrongKey, front+"/"+query, w.now)), "SignatureDoesNotMatch"},
	} {
		w.log.Reset()
		if got := w.login(c.token); got.Authenticated || got.User.Username != "" {
			t.Errorf("%s: authenticated as %+v", name, got.User)
		}
		if !strings.Contains(w.log.String(), c.reason) {
			t.Errorf("%s: the log says\n%swant %q", name, w.log, c.reason)
		}
		if strings.Contains(w.log.String(), "X-Amz-Signature") {
			t.Errorf("%s: the log repeats the token:\n%s", name, w.log)
		}
	}
	if last := w.sign(alice, front+"/"+query, w.now.Add(-tokenLife+2*time.Second)); !w.login(encode(last)).Authenticated {
		t.Errorf("a token is refused before it is 15 minutes old, whatever X-Amz-Expires says: %s", w.log)
	}
}

// Credentials that are no more make no tokens, however fresh, and the log says why.
func TestTokenOfEndedCredentials(t *testing.T) {
	w := newWorld(t)
	w.awsAuth = map[string]string{"mapAccounts": "- \"" + account + "\""}
	alice, aliceKey := w.user("alice")
	_, bobKey := w.user("bob")
	_, carolKey := w.user("carol")
	role := w.role("/", "r")
	session := w.assume(role, "s")
	for name, creds := range map[string]aws.Credentials{"alice": aliceKey, "bob": bobKey, "carol": carolKey, "role": session} {
		if !w.as(creds).Authenticated {
			t.Fatalf("%s does not get in: %s", name, w.log)
		}
	}
	refused := func(what, reason, token string) {
		t.Helper()
		w.log.Reset()
		if got := w.login(token); got.Authenticated || got.User.Username != "" {
			t.Errorf("%s gets in as %+v", what, got.User)
		}
		if !strings.Contains(w.log.String(), "access denied") || !strings.Contains(w.log.String(), reason) {
			t.Errorf("%s: the log says\n%swant %q", what, w.log, reason)
		}
	}
	now := func(creds aws.Credentials) string {
		return encode(w.sign(creds, front+"/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", w.now))
	}
	noToken := session
	noToken.SessionToken = ""
	refused("a session without its token", "InvalidClientTokenId", now(noToken))
	w.update(func(tx *store.Tx) {
		tx.Users.Delete(alice.ARN)
		k, _ := tx.AccessKeys.Get(bobKey.AccessKeyID)
		k.Active = false
		tx.AccessKeys.Put(k.ID, k)
		tx.AccessKeys.Delete(carolKey.AccessKeyID)
	})
	refused("a deleted user", "InvalidClientTokenId", now(aliceKey))
	refused("an inactive key", "InvalidClientTokenId", now(bobKey))
	refused("a deleted key", "InvalidClientTokenId", now(carolKey))
	w.now = w.now.Add(2 * time.Hour)
	refused("an expired session", "ExpiredToken", now(session))
	w.now = w.now.Add(-2 * time.Hour)
	w.update(func(tx *store.Tx) {
		tx.Roles.Put(role.ARN, resource.Role{Account: account, ARN: role.ARN, Name: "r", ID: "AROAanother"})
	})
	refused("a session of a role that has been made anew", "InvalidClientTokenId", now(session))
	w.update(func(tx *store.Tx) { tx.Roles.Delete(role.ARN) })
	refused("a session of a deleted role", "InvalidClientTokenId", now(session))
}

func FuzzParseToken(f *testing.F) {
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	const good = "https://sts.us-west-2.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=AKIA%2F20260801%2Fus-west-2%2Fsts%2Faws4_request&X-Amz-Date=20260801T120000Z&X-Amz-Expires=60" +
		"&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature=00"
	if _, err := parseToken(encode(good), nil, now); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		good, good + "&Action=x", good + "#f", good + ";", strings.Replace(good, "/?", "?", 1), strings.Replace(good, "sts", "STS", 1),
		strings.Replace(good, "Action", "%41ction", 1), strings.Replace(good, "https://sts", "http://localhost:1/?", 1), "http://[::1%25lo]:4566/?", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		_, _ = parseToken(raw, nil, now)
		got, err := parseToken(encode(raw), nil, now)
		if err != nil {
			return
		}
		// Whatever is accepted is what was signed, asks STS for the caller's identity and
		// nothing else, and is not ambiguous.
		u, err := url.Parse(got)
		if err != nil || got != raw {
			t.Fatalf("%q became %q, %v", raw, got, err)
		}
		if u.Path != "/" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			t.Fatalf("%q is accepted", raw)
		}
		names := map[string]bool{}
		for _, pair := range strings.Split(u.RawQuery, "&") {
			if pair == "" {
				continue
			}
			name, _, _ := strings.Cut(pair, "=")
			name, err := url.QueryUnescape(name)
			if err != nil {
				t.Fatalf("%q has the parameter %q", raw, pair)
			}
			name = strings.ToLower(name)
			if names[name] || !slices.Contains(parameters, name) {
				t.Fatalf("%q has the parameter %q", raw, name)
			}
			names[name] = true
		}
	})
}
