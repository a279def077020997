package wire_test

import (
	"errors"
	"testing"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsapi/schema"
	"ekster.dev/ekster/internal/awsapi/wire"
)

func input(t testing.TB, svc *awsapi.Service, name string) (*schema.Type, *awsapi.Operation) {
	t.Helper()
	types, err := schema.Compile(svc.Shapes)
	if err != nil {
		t.Fatal(err)
	}
	for i := range svc.Operations {
		if op := &svc.Operations[i]; op.Name == name {
			return &types[op.Input], op
		}
	}
	t.Fatalf("no operation %s", name)
	return nil, nil
}

// FuzzForm: whatever is sent, decoding answers a value or a SyntaxError, and
// validation copes with the value.
func FuzzForm(f *testing.F) {
	f.Add("Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1&TagSpecification.1.Tag.1.Key=a&BlockDeviceMapping.1.Ebs.VolumeSize=8")
	f.Add("NetworkInterface.1=x&NetworkInterface.1.Groups.99999999999999999999=y&MinCount=&Placement.=&.=&..=1")
	f.Add("InstanceMarketOptions.SpotOptions.ValidUntil=2026-01-01T00:00:00Z&Monitoring.Enabled=TRUE&Monitoring=1")
	t, op := input(f, ec2.Service(ec2.Unimplemented{}), "RunInstances")
	f.Fuzz(func(tt *testing.T, s string) {
		form, err := wire.ParseForm(s)
		if err == nil {
			form.Get("Action")
			in := op.Handle.New()
			if err = wire.DecodeForm(t, form, wire.EC2, in); err == nil {
				schema.Message(schema.Validate(t, in))
				wire.AppendXML(nil, t, in)
			}
			form.Unread()
		}
		var syntax *wire.SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			tt.Fatalf("%T: %v", err, err)
		}
	})
}

// FuzzJSON: the same for documents; what decodes encodes to what decodes.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"name":"c","resourcesVpcConfig":{"subnetIds":["a",null]},"tags":{"a":"b"},"kubernetesNetworkConfig":null}`))
	f.Add([]byte(`{"encryptionConfig":[{"provider":{"keyArn":1e9}}],"bootstrapSelfManagedAddons":"true"}`))
	t, op := input(f, eks.Service(eks.Unimplemented{}), "CreateCluster")
	f.Fuzz(func(tt *testing.T, doc []byte) {
		in := op.Handle.New()
		if err := wire.DecodeJSON(t, doc, in); err != nil {
			var syntax *wire.SyntaxError
			if !errors.As(err, &syntax) {
				tt.Fatalf("%T: %v", err, err)
			}
			return
		}
		schema.Message(schema.Validate(t, in))
		if err := wire.DecodeJSON(t, wire.AppendJSON(nil, t, in), op.Handle.New()); err != nil {
			tt.Fatal(err)
		}
	})
}
