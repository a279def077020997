package podidentity

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	core "k8s.io/api/core/v1"

	"ekster.dev/ekster/internal/admission"
)

// identity is what of a service account decides about its pods.
type identity struct {
	Region      string
	Associated  bool              // it has a pod identity association, which wins over annotations
	Annotations map[string]string // of the service account
	Jitter      int64             // taken off a default expiration of Pod Identity: from 0 to 7200
}

// Annotations, of service accounts and, the last two, of pods.
const (
	annotation         = "eks.amazonaws.com/"
	annotationRole     = annotation + "role-arn"
	annotationAudience = annotation + "audience"
	annotationRegional = annotation + "sts-regional-endpoints"
	annotationExpires  = annotation + "token-expiration"
	annotationSkip     = annotation + "skip-containers"
)

// Lifetimes of tokens, in seconds.
const (
	maxExpiration        = 86400 // the default, too
	minDefaultExpiration = 79200 // of Pod Identity's, which is random
	minExpiration        = 600   // the API server's own limit
)

// A credential is how an SDK gets credentials: a token in a file, and two variables.
type credential struct {
	volume    string
	directory string
	file      string
	audience  string
	expires   int64
	env       func(tokenFile string) []core.EnvVar
}

// mutate is the patch that EKS makes of a pod of an identity; empty for one without any.
// It is pure.
func mutate(pod core.Pod, id identity) []admission.Operation {
	c, ok := credentialFor(pod, id)
	if !ok {
		return nil
	}
	var patch []admission.Operation
	if id.Associated {
		patch = append(patch, label(pod)...)
	}
	if !slices.ContainsFunc(pod.Spec.Volumes, func(v core.Volume) bool { return v.Name == c.volume }) {
		patch = append(patch, first("/spec/volumes", len(pod.Spec.Volumes) == 0, c.tokenVolume()))
	}
	patch = append(patch, withCredential(pod, id, c, "/spec/initContainers", pod.Spec.InitContainers)...)
	return append(patch, withCredential(pod, id, c, "/spec/containers", pod.Spec.Containers)...)
}

func credentialFor(pod core.Pod, id identity) (credential, bool) {
	expires, given := expiration(pod, id)
	role := id.Annotations[annotationRole]
	switch {
	case id.Associated:
		if !given {
			expires = maxExpiration - id.Jitter
		}
		return credential{
			volume: "eks-pod-identity-token", directory: "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount", file: "eks-pod-identity-token",
			audience: "pods.eks.amazonaws.com", expires: expires,
			env: func(file string) []core.EnvVar {
				return []core.EnvVar{
					{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: "http://169.254.170.23/v1/credentials"},
					{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Value: file},
				}
			},
		}, true
	case role != "":
		audience := "sts.amazonaws.com"
		if a := id.Annotations[annotationAudience]; a != "" {
			audience = a
		}
		return credential{
			volume: "aws-iam-token", directory: "/var/run/secrets/eks.amazonaws.com/serviceaccount", file: "token",
			audience: audience, expires: expires,
			env: func(file string) []core.EnvVar {
				return []core.EnvVar{{Name: "AWS_ROLE_ARN", Value: role}, {Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: file}}
			},
		}, true
	}
	return credential{}, false
}

// expiration is what the pod, or else its service account, says; what is no number says nothing.
func expiration(pod core.Pod, id identity) (seconds int64, given bool) {
	for _, from := range []map[string]string{pod.Annotations, id.Annotations} {
		if n, err := strconv.ParseInt(from[annotationExpires], 10, 32); err == nil {
			return max(n, minExpiration), n != maxExpiration
		}
	}
	return maxExpiration, false
}

func (c credential) tokenVolume() core.Volume {
	return core.Volume{Name: c.volume, VolumeSource: core.VolumeSource{Projected: &core.ProjectedVolumeSource{
		Sources: []core.VolumeProjection{{ServiceAccountToken: &core.ServiceAccountTokenProjection{
			Audience: c.audience, ExpirationSeconds: &c.expires, Path: c.file,
		}}},
	}}}
}

// withCredential adds to containers the variables and mounts that they lack. It replaces no
// container as a whole: a newer API server's pod may have fields that are unknown here.
func withCredential(pod core.Pod, id identity, c credential, path string, containers []core.Container) (patch []admission.Operation) {
	skipped := map[string]bool{}
	for name := range strings.SplitSeq(pod.Annotations[annotationSkip], ",") {
		skipped[strings.TrimSpace(name)] = true
	}
	for i, container := range containers {
		if skipped[container.Name] {
			continue
		}
		at := path + "/" + strconv.Itoa(i)
		if env := environment(pod, id, c, container.Env); len(env) > len(container.Env) {
			patch = append(patch, admission.Operation{Op: "add", Path: at + "/env", Value: env})
		}
		if mounts := mounted(c, container.VolumeMounts); len(mounts) > len(container.VolumeMounts) {
			patch = append(patch, admission.Operation{Op: "add", Path: at + "/volumeMounts", Value: mounts})
		}
	}
	return patch
}

func mounted(c credential, mounts []core.VolumeMount) []core.VolumeMount {
	if slices.ContainsFunc(mounts, func(m core.VolumeMount) bool { return m.Name == c.volume }) {
		return mounts
	}
	return append(slices.Clone(mounts), core.VolumeMount{Name: c.volume, ReadOnly: true, MountPath: c.directory})
}

// environment adds variables in groups: of a group of which one is there already, none is
// added, since the two belong together.
func environment(pod core.Pod, id identity, c credential, env []core.EnvVar) []core.EnvVar {
	file := c.directory + "/" + c.file
	if pod.Spec.NodeSelector["kubernetes.io/os"] == "windows" || pod.Spec.NodeSelector["beta.kubernetes.io/os"] == "windows" {
		file = "C:" + strings.ReplaceAll(file, "/", `\`)
	}
	var groups [][]core.EnvVar
	if id.Annotations[annotationRegional] != "false" {
		groups = append(groups, []core.EnvVar{{Name: "AWS_STS_REGIONAL_ENDPOINTS", Value: "regional"}})
	}
	groups = append(groups, []core.EnvVar{{Name: "AWS_DEFAULT_REGION", Value: id.Region}, {Name: "AWS_REGION", Value: id.Region}}, c.env(file))
	out := slices.Clone(env)
	for _, group := range groups {
		there := slices.ContainsFunc(env, func(e core.EnvVar) bool {
			return slices.ContainsFunc(group, func(g core.EnvVar) bool { return g.Name == e.Name })
		})
		if !there {
			out = append(out, group...)
		}
	}
	return out
}

// label marks pods that have a pod identity.
func label(pod core.Pod) []admission.Operation {
	const key, value = annotation + "pod-identity", "enabled"
	if pod.Labels[key] == value {
		return nil
	}
	labels := maps.Clone(pod.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	return []admission.Operation{{Op: "add", Path: "/metadata/labels", Value: labels}}
}

// first puts an item in front of a list, which a patch cannot do where there is none.
func first(path string, none bool, item any) admission.Operation {
	if none {
		return admission.Operation{Op: "add", Path: path, Value: []any{item}}
	}
	return admission.Operation{Op: "add", Path: path + "/0", Value: item}
}
