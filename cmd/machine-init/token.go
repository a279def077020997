package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"
)

// tokenLife is what clients tell of a token's life: the server accepts it for
// 15 minutes after its signature.
const tokenLife = 14 * time.Minute

// credentials are a role's, as IMDS spells them.
type credentials struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string `json:"SecretAccessKey"`
	Token           string `json:"Token"`
}

// token is the kubelet's exec credential plugin: what "aws eks get-token"
// prints, with the instance role's credentials.
func token(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("token", flag.ContinueOnError)
	cluster := flags.String("cluster-name", "", "name of the cluster")
	region := flags.String("region", "", "region of the cluster")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := roleCredentials()
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	type status struct {
		Expires string `json:"expirationTimestamp"`
		Token   string `json:"token"`
	}
	return json.NewEncoder(out).Encode(map[string]any{
		"kind":       "ExecCredential",
		"apiVersion": "client.authentication.k8s.io/v1beta1",
		"spec":       map[string]any{},
		"status": status{now.Add(tokenLife).Format(time.RFC3339),
			"k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(tokenURL(c, *cluster, *region, now)))},
	})
}

// roleCredentials are those of the instance's role.
func roleCredentials() (c credentials, err error) {
	m := &metadata{address: metadataAddress}
	const path = "meta-data/iam/security-credentials/"
	role, err := m.get(path)
	if err != nil {
		return c, fmt.Errorf("finding the instance's role: %w", err)
	}
	role, _, _ = strings.Cut(strings.TrimSpace(role), "\n")
	raw, err := m.get(path + role)
	if err != nil {
		return c, fmt.Errorf("getting credentials of role %s: %w", role, err)
	}
	if err := json.Unmarshal([]byte(raw), &c); err != nil {
		return c, fmt.Errorf("reading credentials of role %s: %w", role, err)
	}
	return c, nil
}

// tokenURL makes the URL of an STS GetCallerIdentity that only the holder of c
// can make and that is good for one cluster.
func tokenURL(c credentials, cluster, region string, now time.Time) string {
	return presign(c, "sts", region, url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}, now,
		[2]string{"x-k8s-aws-id", strings.TrimSpace(cluster)})
}

// apiHost is the name of a service's endpoint in a region.
func apiHost(service, region string) string {
	host := service + "." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	return host
}

// presign signs a GET with its parameters in the URL. Headers are sorted, and after "host".
func presign(c credentials, service, region string, query url.Values, now time.Time, headers ...[2]string) string {
	host := apiHost(service, region)
	date := now.Format("20060102")
	scope := date + "/" + region + "/" + service + "/aws4_request"
	names, lines := "host", "host:"+host+"\n"
	for _, h := range headers {
		names, lines = names+";"+h[0], lines+h[0]+":"+h[1]+"\n"
	}
	for k, v := range map[string]string{
		"X-Amz-Algorithm":     "AWS4-HMAC-SHA256",
		"X-Amz-Credential":    c.AccessKeyID + "/" + scope,
		"X-Amz-Date":          now.Format("20060102T150405Z"),
		"X-Amz-Expires":       "60",
		"X-Amz-SignedHeaders": names,
	} {
		query.Set(k, v)
	}
	if c.Token != "" {
		query.Set("X-Amz-Security-Token", c.Token)
	}
	canonicalQuery := canonical(query)
	empty := sha256.Sum256(nil)
	request := strings.Join([]string{"GET", "/", canonicalQuery, lines, names, hex.EncodeToString(empty[:])}, "\n")
	hashed := sha256.Sum256([]byte(request))
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", query.Get("X-Amz-Date"), scope, hex.EncodeToString(hashed[:])}, "\n")
	key := []byte("AWS4" + c.SecretAccessKey)
	for _, part := range []string{date, region, service, "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return "https://" + host + "/?" + canonicalQuery + "&X-Amz-Signature=" + hex.EncodeToString(key)
}

// canonical encodes a query as SigV4 wants it: sorted, a space as %20.
func canonical(q url.Values) string {
	var pairs []string
	for k, vs := range q {
		for _, v := range vs {
			pairs = append(pairs, escape(k)+"="+escape(v))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
