package ec2_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
)

func TestGetConsoleOutput(t *testing.T) {
	w := newWorld(t)
	id := must(w.RunInstances(t.Context(), launch(1)))(w).Instances[0].InstanceId
	at := time.Time{}
	w.service.Console = func(asked string, most int64) ([]byte, time.Time, error) {
		if asked != *id || most != 64<<10 {
			t.Errorf("asked for %d bytes of %s", most, asked)
		}
		return []byte("power on\n"), at, nil
	}
	if out := must(w.GetConsoleOutput(t.Context(), &sdk.GetConsoleOutputInput{InstanceId: id}))(w); out.Output != nil {
		t.Errorf("a machine that is not on has printed %q", *out.Output)
	}
	at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	out := must(w.GetConsoleOutput(t.Context(), &sdk.GetConsoleOutputInput{InstanceId: id, Latest: aws.Bool(true)}))(w)
	if raw, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output)); err != nil || string(raw) != "power on\n" || !out.Timestamp.Equal(at) {
		t.Errorf("%q, %v at %s", raw, err, out.Timestamp)
	}
	fails(w.GetConsoleOutput(t.Context(), &sdk.GetConsoleOutputInput{InstanceId: aws.String("i-0123456789abcdef0")}))(w, "InvalidInstanceID.NotFound", "The instance ID 'i-0123456789abcdef0' does not exist")
}
