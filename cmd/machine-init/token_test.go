package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// TestPresign compares with the SDK's signer.
func TestPresign(t *testing.T) {
	at := time.Date(2026, 11, 20, 6, 7, 8, 0, time.UTC)
	for name, c := range map[string]credentials{
		"role": {"ASIAEXAMPLE", "secret/+=", "tok/en+with=all&"},
		"user": {"AKIAEXAMPLE", "secret", ""},
	} {
		for region, host := range map[string]string{"us-west-2": "sts.us-west-2.amazonaws.com", "cn-north-1": "sts.cn-north-1.amazonaws.com.cn"} {
			r, err := http.NewRequest("GET", "https://"+host+"/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("x-k8s-aws-id", "a cluster")
			const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
			want, _, err := v4.NewSigner().PresignHTTP(t.Context(),
				aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.Token}, r, empty, "sts", region, at)
			if err != nil {
				t.Fatal(err)
			}
			if got := tokenURL(c, "a cluster", region, at); got != want {
				t.Errorf("%s in %s:\n got %s\nwant %s", name, region, got, want)
			}
		}
	}
}
