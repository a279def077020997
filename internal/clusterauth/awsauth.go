package clusterauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// mappings is what the ConfigMap kube-system/aws-auth says. ARNs are in lower case.
type mappings struct {
	roles    map[string]user
	users    map[string]user
	accounts []string
}

// parseAWSAuth reads the ConfigMap's data. What is wrong is left out and in the error;
// the rest counts.
func parseAWSAuth(data map[string]string) (mappings, error) {
	type line struct {
		RoleARN  string   `json:"rolearn"`
		UserARN  string   `json:"userarn"`
		Username string   `json:"username"`
		Groups   []string `json:"groups"`
	}
	var errs []error
	read := func(key string, arn func(line) string) map[string]user {
		var lines []line
		if err := yaml.Unmarshal([]byte(data[key]), &lines); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
			return nil
		}
		out := map[string]user{}
		for i, l := range lines {
			if arn(l) == "" {
				errs = append(errs, fmt.Errorf("%s: entry %d has no ARN", key, i))
				continue
			}
			out[strings.ToLower(arn(l))] = user{name: l.Username, groups: l.Groups}
		}
		return out
	}
	m := mappings{
		roles: read("mapRoles", func(l line) string { return l.RoleARN }),
		users: read("mapUsers", func(l line) string { return l.UserARN }),
	}
	if err := yaml.Unmarshal([]byte(data["mapAccounts"]), &m.accounts); err != nil {
		errs = append(errs, fmt.Errorf("mapAccounts: %w", err))
	}
	return m, errors.Join(errs...)
}

// find returns the user of a principal: by its ARN, or else by its account.
func (m mappings) find(who identity) (user, bool) {
	arn := strings.ToLower(who.canonical)
	if u, ok := m.roles[arn]; ok {
		return u, true
	}
	if u, ok := m.users[arn]; ok {
		return u, true
	}
	if slices.Contains(m.accounts, who.Account) {
		return user{name: who.canonical}, true
	}
	return user{}, false
}
