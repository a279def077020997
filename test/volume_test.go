package test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// volumes runs a shell, which the hello image does not have: it comes with the node's /usr
// as a hostPath volume. An init container and a container share an emptyDir; a second pod
// on the same node finds what the first left in a hostPath directory.
func (j *job) volumes(t *testing.T) {
	first := shellPod("writer", j.nodes[0].Name, `
set -e
test "$(cat /empty/word)" = from-init
test "$(cat /config/greeting)" = from-a-configmap
test "$(cat /secret/word)" = from-a-secret
echo on-the-node > /host/word
echo volumes are fine`)
	first.Spec.InitContainers = []corev1.Container{shellContainer("init", "echo from-init > /empty/word")}
	wantLog(t, j.kube, first, "volumes are fine\n")
	wantLog(t, j.kube, shellPod("reader", j.nodes[0].Name, "cat /host/word; test ! -e /empty/word"), "on-the-node\n")
	wantLog(t, j.kube, shellPod("elsewhere", j.nodes[1].Name, "test ! -e /host/word && echo other node"), "other node\n")
}

func wantLog(t *testing.T, k *lab.Kube, pod *corev1.Pod, want string) {
	t.Helper()
	got, log, err := runPod(t.Context(), k, pod)
	no(t, err)
	if got.Status.Phase != corev1.PodSucceeded || log != want {
		t.Errorf("pod %s: %s, log %q, want %q", pod.Name, lab.Explain(*got), log, want)
	}
}

func shellPod(name, node, script string) *corev1.Pod {
	host := func(path string, kind corev1.HostPathType) corev1.VolumeSource {
		return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &kind}}
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, NodeName: node, Containers: []corev1.Container{shellContainer("shell", script)},
		Volumes: []corev1.Volume{
			{Name: "usr", VolumeSource: host("/usr", corev1.HostPathDirectory)},
			{Name: "lib64", VolumeSource: host("/usr/lib64", corev1.HostPathDirectory)},
			{Name: "lib", VolumeSource: host("/usr/lib", corev1.HostPathDirectory)},
			{Name: "host", VolumeSource: host("/mnt/shared", corev1.HostPathDirectoryOrCreate)},
			{Name: "empty", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
			{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "key"}}},
		},
	}}
}

func shellContainer(name, script string) corev1.Container {
	return corev1.Container{
		Name: name, Image: helloImage, Command: []string{"/usr/bin/sh", "-c", script},
		Env:             []corev1.EnvVar{{Name: "PATH", Value: "/usr/bin"}},
		SecurityContext: &corev1.SecurityContext{RunAsUser: new(int64(0))},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "usr", MountPath: "/usr", ReadOnly: true}, {Name: "lib64", MountPath: "/lib64", ReadOnly: true}, {Name: "lib", MountPath: "/lib", ReadOnly: true},
			{Name: "host", MountPath: "/host"}, {Name: "empty", MountPath: "/empty"},
			{Name: "config", MountPath: "/config"}, {Name: "secret", MountPath: "/secret"},
		},
	}
}
