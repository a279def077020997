package ec2

import (
	"context"
	"encoding/base64"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/store"
)

// maxConsole is how much of a console's end EC2 shows.
const maxConsole = 64 << 10

// GetConsoleOutput tells what the machine has printed while booting and since: the latest,
// whether that is asked for or not. EC2 shows an older picture where the type's hypervisor
// has no latest one.
func (s *Service) GetConsoleOutput(ctx context.Context, call awsapi.Call, in *ec2.GetConsoleOutputInput) (*ec2.GetConsoleOutputOutput, error) {
	out := &ec2.GetConsoleOutputOutput{InstanceId: in.InstanceId, Timestamp: &call.Time}
	err := s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		_, err := provision.LookupInstance(tx, homeOf(call), *in.InstanceId)
		return err
	})
	if err != nil || s.Console == nil {
		return out, err
	}
	printed, at, err := s.Console(*in.InstanceId, maxConsole)
	if err != nil || at.IsZero() { // it has not been switched on, or is no more
		return out, err
	}
	out.Timestamp, out.Output = &at, new(base64.StdEncoding.EncodeToString(printed))
	return out, nil
}
