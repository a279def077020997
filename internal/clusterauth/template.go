package clusterauth

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const privateDNSName = "{{EC2PrivateDNSName}}"

var instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// filler returns what fills in the templates of a user's name and groups.
func filler(tx *store.Tx, cl resource.Cluster, who caller, u user) (func(string) string, error) {
	pairs := []string{
		"{{AccountID}}", who.Account,
		"{{SessionName}}", strings.ReplaceAll(who.SessionName, "@", "-"), // as in an e-mail address; no name has it
		"{{SessionNameRaw}}", who.SessionName,
		"{{AccessKeyID}}", who.AccessKeyID,
	}
	// The instance is looked up only for those who need it: most sessions are people's.
	if strings.Contains(u.name+strings.Join(u.groups, ""), privateDNSName) {
		name, err := instanceName(tx, cl, who)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, privateDNSName, name)
	}
	return strings.NewReplacer(pairs...).Replace, nil
}

// instanceName returns the private DNS name of the instance whose session this is. Sessions
// of instances are named for them; but anybody who may assume the role chooses a name, so the
// instance has to exist, in the cluster's region, with this very role.
func instanceName(tx *store.Tx, cl resource.Cluster, who caller) (string, error) {
	if !instanceID.MatchString(who.SessionName) {
		return "", errors.New("SessionName did not contain an instance id")
	}
	i, ok := tx.Instances.Get(who.SessionName)
	if !ok || i.Home != cl.Home {
		return "", fmt.Errorf("failed querying private DNS from EC2 API for node %s: not found", who.SessionName)
	}
	// A machine's kubelet may be quicker than the record of its state.
	if s := i.Current(); s != resource.InstanceRunning && s != resource.InstancePending {
		return "", fmt.Errorf("instance %s is %s", i.ID, s)
	}
	profile, ok := tx.InstanceProfiles.Get(i.Spec.InstanceProfileARN)
	if !ok || profile.Role != who.RoleARN {
		return "", fmt.Errorf("instance %s does not have the role %s", i.ID, who.RoleARN)
	}
	if i.Spec.PrivateDNS == "" {
		return "", fmt.Errorf("instance %s has no private DNS name", i.ID)
	}
	return i.Spec.PrivateDNS, nil
}
