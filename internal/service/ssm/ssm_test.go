package ssm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	genssm "ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/service/ssm"
)

func TestGetParameter(t *testing.T) {
	d := identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		return []*awsapi.Service{genssm.Service(ssm.New(d.Store))}
	})
	api := sdk.NewFromConfig(d.AsRoot())
	const base = "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended"
	image, ok := ami.Recommended(identitytest.Region, "1.35", ami.X8664, ami.Standard)
	if !ok {
		t.Fatal("there is no image")
	}
	for _, c := range []struct{ name, value, code string }{
		{name: base + "/image_id", value: image.ID},
		{name: base + "/release_version", value: image.Release},
		{name: base + "/image_id:1", value: image.ID},
		{name: "arn:aws:ssm:us-west-2::parameter" + base + "/image_id", value: image.ID},
		{name: base + "/image_id:2", code: "ParameterVersionNotFound"},
		{name: strings.Replace(base, "1.35", "1.10", 1) + "/image_id", code: "ParameterNotFound"},
		{name: "mine", code: "ParameterNotFound"},
	} {
		out, err := api.GetParameter(t.Context(), &sdk.GetParameterInput{Name: &c.name})
		if c.code != "" {
			var e smithy.APIError
			if !errors.As(err, &e) || e.ErrorCode() != c.code {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		p := out.Parameter
		if *p.Value != c.value || p.Type != "String" || p.Version != 1 || aws.ToString(p.DataType) != "text" ||
			!strings.HasPrefix(*p.ARN, "arn:aws:ssm:us-west-2::parameter/aws/service/eks/") || !p.LastModifiedDate.Equal(image.Created) {
			t.Errorf("%s: %s %s %d %s", c.name, *p.Value, *p.ARN, p.Version, p.LastModifiedDate)
		}
	}
	if err := provision.SetPayload(t.Context(), d.Store, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	var e smithy.APIError
	if _, err := api.GetParameter(t.Context(), &sdk.GetParameterInput{Name: aws.String(base + "/image_id")}); !errors.As(err, &e) || e.ErrorCode() != "ParameterNotFound" {
		t.Errorf("of a version that is not built: %v", err)
	}
}
