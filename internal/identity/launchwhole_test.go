package identity_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// addTemplate records a launch template of one version.
func (w *dependents) addTemplate(t *testing.T, id string, data ec2.RequestLaunchTemplateData) {
	t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	w.update(func(tx *store.Tx) {
		tx.LaunchTemplates.Put(id, resource.LaunchTemplate{Home: resource.Home{Account: account, Region: "us-west-2"}, ID: id, Name: id, Default: 1, Latest: 1,
			Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: raw}}})
	})
}

// denied fails the test unless the call is denied for the action and resource.
func (w *dependents) denied(t *testing.T, policy, operation string, in any, what string) {
	t.Helper()
	if err := w.authorize(policy, operation, in); err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("got %v\nwant a denial of %s", err, what)
	}
}

// fleetOf is a request for a fleet of one template with overrides.
func fleetOf(template string, overrides ...ec2.FleetLaunchTemplateOverridesRequest) *ec2.CreateFleetInput {
	return &ec2.CreateFleetInput{LaunchTemplateConfigs: []ec2.FleetLaunchTemplateConfigRequest{{
		LaunchTemplateSpecification: &ec2.FleetLaunchTemplateSpecificationRequest{LaunchTemplateId: &template}, Overrides: overrides,
	}}}
}

// A profile named "" does not hide the template's, which is what gets launched.
func TestEmptyProfile(t *testing.T) {
	w := newDependents(t)
	policy := policyOf("Allow ec2:* *")
	for _, p := range []ec2.IamInstanceProfileSpecification{{Name: new("")}, {Arn: new("")}, {}} {
		w.denied(t, policy, "ec2:RunInstances", &ec2.RunInstancesInput{
			LaunchTemplate: &ec2.LaunchTemplateSpecification{LaunchTemplateId: new("lt-1")}, IamInstanceProfile: &p,
		}, "iam:PassRole on resource: "+roleARN+"node")
		w.denied(t, policy, "ec2:CreateFleet", fleetOf("lt-1", ec2.FleetLaunchTemplateOverridesRequest{
			IamInstanceProfile: &ec2.FleetIamInstanceProfileSpecificationRequest{Arn: p.Arn, Name: p.Name},
		}), "iam:PassRole on resource: "+roleARN+"node")
	}
}
