package ec2

import (
	"testing"
	"time"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

func benchService(b *testing.B) (*Service, awsapi.Call) {
	b.Helper()
	s, err := store.Open(b.Context(), store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return New(s), awsapi.Call{Region: "us-west-2", Account: "000000000000", Time: time.Now()}
}

func BenchmarkDescribeInstanceTypes(b *testing.B) {
	s, call := benchService(b)
	for name, in := range map[string]*ec2.DescribeInstanceTypesInput{
		"page":     {},
		"filtered": {Filters: []ec2.Filter{{Name: new("processor-info.supported-architecture"), Values: []string{"x86_64"}}, {Name: new("instance-type"), Values: []string{"m5.*"}}}},
		"one":      {InstanceTypes: []string{"t3.medium"}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.DescribeInstanceTypes(b.Context(), call, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkInstances(b *testing.B) {
	s, call := benchService(b)
	i, _ := ami.Recommended("us-west-2", "1.35", ami.X8664, ami.Standard)
	run := func(n int32) string {
		out, err := s.RunInstances(b.Context(), call, &ec2.RunInstancesInput{ImageId: &i.ID, InstanceType: new("t3.medium"), MinCount: &n, MaxCount: &n})
		if err != nil {
			b.Fatal(err)
		}
		return *out.Instances[0].InstanceId
	}
	var id string
	for range 10 {
		id = run(100)
	}
	for name, in := range map[string]*ec2.DescribeInstancesInput{
		"one of 1000": {InstanceIds: []string{id}},
		"1000":        {},
		"filtered":    {Filters: []ec2.Filter{{Name: new("tag:a"), Values: []string{"b"}}}},
	} {
		b.Run("describe/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.DescribeInstances(b.Context(), call, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("run beside 1000", func(b *testing.B) {
		for b.Loop() {
			run(1)
		}
	})
}
