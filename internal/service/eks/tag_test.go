package eks_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
)

func TestTags(t *testing.T) {
	w := entries(t)
	for _, arn := range []string{
		"arn:aws:eks:us-west-2:000000000000:cluster/c",
		w.activeNodegroup(t, "c", "ng"),
		*w.enter(t, &sdk.CreateAccessEntryInput{PrincipalArn: aws.String(devRole)}).AccessEntryArn,
	} {
		list := func() string {
			t.Helper()
			out, err := w.root.ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceArn: &arn})
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(out.Tags)
		}
		if got := list(); got != "map[]" {
			t.Errorf("%s begins with %s", arn, got)
		}
		if _, err := w.root.TagResource(t.Context(), &sdk.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"a": "1", "b": "2"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.root.UntagResource(t.Context(), &sdk.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"a", "none"}}); err != nil {
			t.Fatal(err)
		}
		if got := list(); got != "map[b:2]" {
			t.Errorf("%s has %s", arn, got)
		}
		_, err := w.root.TagResource(t.Context(), &sdk.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"aws:a": "1"}})
		fails(t, err, "BadRequestException", "Tag keys cannot start with the reserved prefix aws:")
		more := map[string]string{}
		for i := range 50 {
			more[fmt.Sprint(i)] = ""
		}
		_, err = w.root.TagResource(t.Context(), &sdk.TagResourceInput{ResourceArn: &arn, Tags: more})
		fails(t, err, "BadRequestException", "The maximum number of tags for a resource is 50")
	}
	for _, c := range []struct{ arn, code, message string }{
		{"arn:aws:eks:us-west-2:000000000000:cluster/none", "NotFoundException", "No resource found for ARN: arn:aws:eks:us-west-2:000000000000:cluster/none"},
		{"arn:aws:eks:us-east-1:000000000000:cluster/c", "NotFoundException", "No resource found for ARN: arn:aws:eks:us-east-1:000000000000:cluster/c"},
		{"arn:aws:s3:::c", "BadRequestException", "The resource ARN is not valid: arn:aws:s3:::c"},
	} {
		_, err := w.root.ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceArn: &c.arn})
		fails(t, err, c.code, c.message)
	}
}
