package identity

import (
	"fmt"

	"ekster.dev/ekster/internal/iampolicy"
	"ekster.dev/ekster/internal/resource"
)

// AWSPolicies are AWS's managed policies as records. They are the same in every account
// and belong to none.
type AWSPolicies struct {
	all   []resource.Policy
	byARN map[string]resource.Policy
}

// LoadAWSPolicies reads them, once for a daemon's life. An error is a mistake in their files.
func LoadAWSPolicies() (*AWSPolicies, error) {
	list, err := iampolicy.All()
	if err != nil {
		return nil, fmt.Errorf("loading AWS's managed policies: %w", err)
	}
	a := &AWSPolicies{byARN: map[string]resource.Policy{}}
	for _, p := range list {
		r := resource.Policy{
			ARN: p.ARN, Name: p.Name, Path: p.Path, ID: p.ID, Description: p.Description,
			Created: p.Created, Updated: p.Updated, Default: p.DefaultVersion,
		}
		for _, v := range p.Versions {
			r.Versions = append(r.Versions, resource.PolicyVersion{ID: v.ID, Document: v.Document, Created: v.Created})
		}
		a.all = append(a.all, r)
		a.byARN[p.ARN] = r
	}
	return a, nil
}

// All returns the policies, ordered by name.
func (a *AWSPolicies) All() []resource.Policy { return a.all }

// Get returns the policy with an ARN, and whether there is one.
func (a *AWSPolicies) Get(arn string) (resource.Policy, bool) {
	p, ok := a.byARN[arn]
	return p, ok
}
