package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Where a cluster's aws-auth is.
const (
	awsAuthNamespace = "kube-system"
	awsAuthName      = "aws-auth"
	mapRoles         = "mapRoles"
)

func (cl *cluster) awsAuthChanged(o runtime.Object, gone bool) {
	data, ok := awsAuthOf(o)
	if !ok {
		return
	}
	if gone {
		data = nil
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.awsAuth = data
}

// replaceAWSAuth puts what has been listed in the place of what was known, at once: an
// aws-auth that has always been there is never seen to be missing.
func (cl *cluster) replaceAWSAuth(all []runtime.Object) {
	var data map[string]string
	for _, o := range all {
		if found, ok := awsAuthOf(o); ok {
			data = found
		}
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.awsAuth, cl.listed = data, true
}

// awsAuthOf is what o holds if it is aws-auth; not nil, which means that there is none.
func awsAuthOf(o runtime.Object) (map[string]string, bool) {
	m, ok := o.(*core.ConfigMap)
	if !ok || m.Name != awsAuthName {
		return nil, false
	}
	if m.Data == nil {
		return map[string]string{}, true
	}
	return m.Data, true
}

// AWSAuth returns the data of a cluster's ConfigMap kube-system/aws-auth as it is now; false
// if there is none, or the cluster has not been seen yet. While the API server is away it is
// what it was last.
func (c *Controller) AWSAuth(arn string) (map[string]string, bool) {
	cl := c.watched(arn)
	if cl == nil {
		return nil, false
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return maps.Clone(cl.awsAuth), cl.awsAuth != nil
}

// HasAWSAuthRole says whether a cluster's aws-auth has an entry for a role, by what was seen of
// it last; known is false as long as it has not been looked for.
func (c *Controller) HasAWSAuthRole(arn, role string) (has, known bool) {
	cl := c.watched(arn)
	if cl == nil {
		return false, false
	}
	cl.mu.Lock()
	text, known := cl.awsAuth[mapRoles], cl.listed
	cl.mu.Unlock()
	var entries []map[string]any
	if err := yaml.Unmarshal([]byte(text), &entries); err != nil {
		return false, known // nobody gets in by what cannot be read
	}
	role = withoutPath(role)
	return slices.ContainsFunc(entries, func(e map[string]any) bool { return is(e, role) }), known
}

// EnsureAWSAuthRole lets the nodes that have a role into the cluster by aws-auth, which is
// made if need be. An entry for the role that is there is left as it is.
func (c *Controller) EnsureAWSAuthRole(ctx context.Context, arn, role string) error {
	role = withoutPath(role)
	return c.changeAWSAuth(ctx, arn, true, func(entries []map[string]any) []map[string]any {
		for _, e := range entries {
			if is(e, role) {
				return nil
			}
		}
		return append(entries, map[string]any{
			"rolearn": role, "username": "system:node:{{EC2PrivateDNSName}}", "groups": []string{"system:bootstrappers", "system:nodes"},
		})
	})
}

// RemoveAWSAuthRole takes the entries of a role out of aws-auth.
func (c *Controller) RemoveAWSAuthRole(ctx context.Context, arn, role string) error {
	role = withoutPath(role)
	return c.changeAWSAuth(ctx, arn, false, func(entries []map[string]any) []map[string]any {
		left := []map[string]any{}
		for _, e := range entries {
			if !is(e, role) {
				left = append(left, e)
			}
		}
		if len(left) == len(entries) {
			return nil
		}
		return left
	})
}

func is(entry map[string]any, role string) bool {
	arn, _ := entry["rolearn"].(string)
	return strings.EqualFold(arn, role)
}

// withoutPath takes the path out of a role's ARN: aws-auth has roles without.
func withoutPath(role string) string {
	head, rest, ok := strings.Cut(role, ":role/")
	if !ok {
		return role
	}
	return head + ":role/" + rest[strings.LastIndexByte(rest, '/')+1:]
}

// changeAWSAuth replaces mapRoles by what f makes of it; nil: nothing is to be changed.
func (c *Controller) changeAWSAuth(ctx context.Context, arn string, create bool, f func([]map[string]any) []map[string]any) error {
	api, err := c.connect(arn)
	if err != nil {
		return err
	}
	for range attempts {
		var m core.ConfigMap
		err := api.core.Get().Namespace(awsAuthNamespace).Resource("configmaps").Name(awsAuthName).Do(ctx).Into(&m)
		absent := apierrors.IsNotFound(err)
		if err != nil && !absent {
			return err
		}
		if absent && !create {
			return nil
		}
		var entries []map[string]any
		if err := yaml.Unmarshal([]byte(m.Data[mapRoles]), &entries); err != nil {
			return fmt.Errorf("reading its %s: %w", mapRoles, err)
		}
		if entries = f(entries); entries == nil {
			return nil
		}
		text, err := yaml.Marshal(entries)
		if err != nil {
			return err
		}
		if m.Data == nil {
			m.Data = map[string]string{}
		}
		m.Data[mapRoles] = string(text)
		request := api.core.Put().Name(awsAuthName)
		if absent {
			m.ObjectMeta = metav1.ObjectMeta{Name: awsAuthName, Namespace: awsAuthNamespace}
			request = api.core.Post()
		}
		err = request.Namespace(awsAuthNamespace).Resource("configmaps").Body(&m).Do(ctx).Error()
		if err == nil || !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return fmt.Errorf("it has changed %d times", attempts)
}
